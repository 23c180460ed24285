import type { Pid, ProcessHost } from '../../../actors/otp/index.ts';
import type { VirtualClock } from '../../support/virtual-clock.ts';
import { HOSTS, puppet, puppetSpec, type Rig, rig, top } from './support.ts';

const LIMIT = { intensity: 3, periodMs: 5000 };

export interface Family extends Rig {
  readonly journal: string[];
  /** Serial of each registered child, 0 when it is not there. */
  serials(...names: string[]): number[];
}

export async function family(
  strategy: 'one_for_one' | 'one_for_all' | 'rest_for_one',
  children: readonly (readonly [string, object?])[],
  more: object = LIMIT,
): Promise<Family> {
  const journal: string[] = [];
  const made = rig();
  const specs = children.map(([name, spec]) => puppetSpec(name, journal, spec));
  await made.system.start(top(specs, { strategy, ...more }));
  return { ...made, journal, serials: (...names) => names.map((name) => made.system.whereis(name)?.serial ?? 0) };
}

export function stuckHost(make: (clock: VirtualClock) => ProcessHost) {
  const held = new Set<string>();
  const wakes = new Map<string, () => void>();
  const nameOf = (pid: Pid): string => `${pid.serial}.${pid.incarnation}`;
  return {
    hold: (pid: Pid) => held.add(nameOf(pid)),
    release: (pid: Pid) => {
      held.delete(nameOf(pid));
      wakes.get(nameOf(pid))?.();
    },
    host: (clock: VirtualClock): ProcessHost => {
      const inner = make(clock);
      return {
        onFault: (report) => inner.onFault(report),
        close: () => inner.close(),
        open(name, turn) {
          const slot = inner.open(name, () => (held.has(name) ? false : turn()));
          wakes.set(name, () => slot.wake());
          return slot;
        },
      };
    },
  };
}

/** A supervisor of one pattern, puppets, and how to add one. */
export async function dynamic() {
  const journal: string[] = [];
  const wedged = stuckHost(HOSTS[1]![1]);
  const made = rig({ host: wedged.host });
  const pattern = { id: 'pattern', module: puppet, args: undefined };
  await made.system.start(top([pattern], { strategy: 'simple_one_for_one' }));
  const add = async (name: string): Promise<Pid> => {
    const added = made.system.startChild('top', { args: { name, journal } });
    await made.settle();
    return added;
  };
  return { made, journal, add, wedged };
}
