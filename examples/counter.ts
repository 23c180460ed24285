/**
 * A supervised counter: what a crash costs (its state), what it does not (its name, its callers), and when a supervisor
 * gives up.
 *
 *     npx tsx examples/counter.ts
 */
import {
  type ActorSystem,
  describeReason,
  type ExitReason,
  type GenServer,
  startActorSystem,
  worker,
} from '../actors/index.ts';
import { createClock } from '../storage/index.ts';
import { main, say, sleep } from './support/say.ts';

type Call = 'add' | 'read';

/** State and message in, state and effects out: this can be tested by calling it, without any actor system. */
const counter: GenServer<number, { readonly from: number }, Call, 'divide by zero'> = {
  init: ({ from }) => ({ state: from }),
  handleCall(message, from, state) {
    const next = message === 'add' ? state + 1 : state;
    return { state: next, effects: [{ type: 'reply', to: from, value: next }] };
  },
  handleCast() {
    throw new RangeError('division by zero');
  },
  handleInfo: (_, state) => ({ state }),
};

const INTENSITY = 2;

async function crash(system: ActorSystem): Promise<void> {
  const before = system.whereis('counter')?.text;
  system.cast('counter', 'divide by zero');
  // Between its end and its restart nobody bears the name.
  for (let now = before; now === before || now === undefined; now = system.whereis('counter')?.text) await sleep(5);
}

main(async () => {
  let gaveUp: (reason: ExitReason) => void = () => undefined;
  const fatal = new Promise<ExitReason>((resolve) => {
    gaveUp = resolve;
  });
  const system = startActorSystem({
    node: 'clusterdb@counter.example',
    clock: createClock(),
    log: ({ level, fields }) => {
      const reason = fields.find(([key]) => key === 'Reason')?.[1];
      if (level === 'ERROR' && reason !== undefined) say(`  log: ${reason}`);
    },
    onFatal: gaveUp,
  });
  const child = worker({
    id: 'counter',
    register: 'counter',
    module: counter,
    args: { from: 10 },
    restart: 'permanent',
  });
  await system.start({
    id: 'top',
    type: 'supervisor',
    strategy: 'one_for_one',
    intensity: INTENSITY,
    periodMs: 10_000,
    children: [child],
  });
  say(`started as ${system.whereis('counter')?.text}, restart intensity ${INTENSITY} in 10 s`);
  for (let i = 0; i < 3; i++) say(`add: ${await system.call('counter', 'add')}`);

  for (let i = 1; i <= INTENSITY; i++) {
    await crash(system);
    say(
      `crash ${i}: restarted as ${system.whereis('counter')?.text}, its state begins anew: ${await system.call('counter', 'read')}`,
    );
  }
  system.cast('counter', 'divide by zero');
  say(`crash ${INTENSITY + 1}: the supervisor gives up: ${describeReason(await fatal)}`);
  const answer = await system.call('counter', 'read').catch((error: unknown) => `refused at once: ${String(error)}`);
  say(`a call now: ${answer}`);
  await system.stop();
  say('stopped');
});
