import {
  type ActorContext,
  type ActorSystem,
  type ChildSpec,
  createRunQueueHost,
  type Effect,
  type ExitReason,
  type From,
  type GenServer,
  type HostInfo,
  type LogRecord,
  type Next,
  type Pid,
  type ProcessHost,
  type RemoteTransport,
  type SupervisorSpec,
  startActorSystem,
  type WorkerSpec,
} from '../../../actors/otp/index.ts';
import { createNactHost } from '../../../actors/otp/nact-host.ts';
import { turn, VirtualClock } from '../../support/virtual-clock.ts';

/** Both hosts, by name. The run queue takes its turns from the virtual clock, nact from the real event loop. */
export const HOSTS: readonly (readonly [string, (clock: VirtualClock) => ProcessHost])[] = [
  ['nact', () => createNactHost({ node: 'clusterdb@one', incarnation: 1 })],
  ['run queue', (clock) => createRunQueueHost({ schedule: (run) => clock.after(0, run) })],
];

export interface Rig {
  readonly system: ActorSystem;
  readonly clock: VirtualClock;
  readonly logs: LogRecord[];
  readonly fatal: ExitReason[];
  /** Moves time by `ms` and waits until nothing happens any more. */
  settle(ms?: number): Promise<void>;
}

export interface RigOptions {
  readonly host?: (clock: VirtualClock) => ProcessHost;
  readonly node?: string;
  readonly incarnation?: number;
  readonly remote?: RemoteTransport;
  readonly clock?: VirtualClock;
  readonly log?: (record: LogRecord) => void;
}

export function rig(options: RigOptions = {}): Rig {
  const clock = options.clock ?? new VirtualClock();
  const logs: LogRecord[] = [];
  const fatal: ExitReason[] = [];
  const makeHost = options.host ?? HOSTS[1]![1];
  const system = startActorSystem(
    {
      node: options.node ?? 'clusterdb@one',
      incarnation: options.incarnation ?? 1,
      clock,
      remote: options.remote,
      log: options.log ?? ((record) => logs.push(record)),
      onFatal: (reason) => fatal.push(reason),
    },
    makeHost(clock),
  );
  return { system, clock, logs, fatal, settle: (ms = 0) => settle([system], clock, ms) };
}

/** Until nothing was handled, started or stopped for a few turns of the event loop. */
export async function settle(systems: readonly ActorSystem[], clock: VirtualClock, ms = 0): Promise<void> {
  // What was asked for before time moves is carried out before it moves.
  if (ms > 0) await settle(systems, clock);
  await clock.advanceAsync(ms);
  let before = '';
  for (let quiet = 0; quiet < 4; ) {
    await turn();
    clock.advance(0);
    const after = JSON.stringify(systems.map((system) => system.statistics()));
    quiet = after === before ? quiet + 1 : 0;
    before = after;
  }
}

/** A server that does what its messages, which are functions, say; and writes down what happens to it. */
export interface PuppetArgs {
  readonly name: string;
  readonly journal: string[];
  /** Runs first thing in `init`; may throw. */
  readonly onInit?: (context: ActorContext) => readonly Effect[] | undefined;
  readonly onTerminate?: (reason: ExitReason) => void;
}

export interface PuppetState extends PuppetArgs {
  readonly seen: unknown[];
}

export type PuppetCall =
  | 'seen'
  | 'pid'
  | 'ignore'
  | ((from: From, state: PuppetState, context: ActorContext) => readonly Effect[]);
export type PuppetCast = (state: PuppetState, context: ActorContext) => readonly Effect[];

export const puppet: GenServer<PuppetState, PuppetArgs, PuppetCall, PuppetCast, unknown> = {
  init(args, context) {
    args.journal.push(`init ${args.name}`);
    return { state: { ...args, seen: [] }, effects: args.onInit?.(context) };
  },
  handleCall(message, from, state, context): Next<PuppetState> {
    if (message === 'seen') return { state, effects: [{ type: 'reply', to: from, value: [...state.seen] }] };
    if (message === 'pid') return { state, effects: [{ type: 'reply', to: from, value: context.self.text }] };
    if (message === 'ignore') return { state };
    if (typeof message === 'function') return { state, effects: message(from, state, context) };
    return { state, effects: [{ type: 'reply', to: from, value: message }] };
  },
  handleCast(message, state, context) {
    if (typeof message === 'function') return { state, effects: message(state, context) };
    state.seen.push(message);
    return { state };
  },
  handleInfo(message, state) {
    state.seen.push(message);
    return { state };
  },
  terminate(reason, state) {
    state.journal.push(`terminate ${state.name} ${typeof reason === 'string' ? reason : reason.type}`);
    state.onTerminate?.(reason);
  },
};

export function puppetSpec(
  name: string,
  journal: string[],
  more: Partial<WorkerSpec> & {
    readonly onInit?: PuppetArgs['onInit'];
    readonly onTerminate?: PuppetArgs['onTerminate'];
  } = {},
): WorkerSpec {
  const { onInit, onTerminate, ...spec } = more;
  const args: PuppetArgs = { name, journal, onInit, onTerminate };
  return { id: name, register: name, module: puppet, args, ...spec };
}

export function top(
  children: readonly ChildSpec[],
  more: Partial<Omit<SupervisorSpec, 'type' | 'children'>> = {},
): SupervisorSpec {
  return { id: 'top', register: 'top', type: 'supervisor', strategy: 'one_for_one', intensity: 10, children, ...more };
}

/** Makes a puppet carry out effects. */
export function act(...effects: readonly Effect[]): PuppetCast {
  return () => effects;
}

export function crash(text = 'boom'): PuppetCast {
  return () => {
    throw new Error(text);
  };
}

/** The puppet's seen messages of one type, e.g. `DOWN`. */
export async function seen(system: ActorSystem, name: string, settleNow: () => Promise<void>): Promise<HostInfo[]> {
  const answer = system.call(name, 'seen');
  await settleNow();
  return (await answer) as HostInfo[];
}

/** What a promise rejects with; fails when it does not. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  const outcome = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if ('error' in outcome) return outcome.error;
  throw new Error(`Expected a rejection, got ${JSON.stringify(outcome.value)}.`);
}

/** Records logged with this `Detail`. */
export function details(logs: readonly LogRecord[]): string[] {
  return logs.map((record) => record.fields.find(([key]) => key === 'Detail')?.[1] ?? '');
}

export type MakeHost = (clock: VirtualClock) => ProcessHost;

/** A system over this host with these puppets below one supervisor. */
export async function started(host: MakeHost, ...names: string[]): Promise<Rig & { journal: string[] }> {
  const journal: string[] = [];
  const made = rig({ host });
  await made.system.start(top(names.map((child) => puppetSpec(child, journal))));
  return { ...made, journal };
}

export function pidOf(made: Rig, name: string): Pid {
  const pid = made.system.whereis(name);
  if (pid === undefined) throw new Error(`${name} is not registered.`);
  return pid;
}
