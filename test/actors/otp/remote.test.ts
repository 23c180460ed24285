import { describe, expect, test } from 'vitest';
import {
  type ActorSystem,
  type ExitError,
  type From,
  type GenServer,
  type Pid,
  RemoteError,
  startChild,
} from '../../../actors/otp/index.ts';
import { REMOTE_CALLS_PER_NODE_MAX, REMOTE_MONITORS_PER_NODE_MAX } from '../../../actors/otp/limits.ts';
import { RemoteMesh } from '../../support/remote-pair.ts';
import { VirtualClock } from '../../support/virtual-clock.ts';
import { act, crash, details, puppetSpec, type Rig, rejection, rig, settle, top } from './support.ts';

const A = 'clusterdb@a';
const B = 'clusterdb@b';

interface Pair {
  readonly mesh: RemoteMesh;
  readonly a: Rig;
  readonly b: Rig;
  readonly clock: VirtualClock;
  run(ms?: number): Promise<void>;
  /** What the actor `x` of node B has seen, or another's. */
  seen(system: ActorSystem, name: string): Promise<unknown[]>;
}

async function pair(): Promise<Pair> {
  const mesh = new RemoteMesh();
  const clock = new VirtualClock();
  const a = rig({ node: A, clock, remote: mesh.transport(A) });
  const b = rig({ node: B, clock, remote: mesh.transport(B) });
  await a.system.start(top([puppetSpec('x', []), puppetSpec('y', [])]));
  await b.system.start(top([puppetSpec('x', []), puppetSpec('y', [])]));
  mesh.connect(A, B);
  const run = async (ms = 0): Promise<void> => {
    await settle([a.system, b.system], clock, ms);
    while (mesh.carry()) await settle([a.system, b.system], clock);
  };
  return {
    mesh,
    a,
    b,
    clock,
    run,
    async seen(system, name) {
      const answer = system.call(name, 'seen');
      await run();
      return (await answer) as unknown[];
    },
  };
}

const reasonOf = async (call: Promise<unknown>): Promise<unknown> => ((await rejection(call)) as ExitError).reason;
const onB = (name: string) => ({ name, node: B });

describe('messages', () => {
  test('send and cast reach a name on another node in the order they were sent', async () => {
    const made = await pair();
    for (let index = 0; index < 100; index += 1) {
      if (index % 3 === 0) made.a.system.cast(onB('x'), index);
      else made.a.system.send(onB('x'), index);
    }
    await made.run();
    expect(await made.seen(made.b.system, 'x')).toEqual(Array.from({ length: 100 }, (_, index) => index));
  });

  test('a pid that travelled in a message can be sent to from there', async () => {
    const made = await pair();
    made.a.system.cast('x', (_state: unknown, context: { self: Pid }) => [
      { type: 'send', to: onB('x'), message: { from: context.self } },
    ]);
    await made.run();
    const [message] = (await made.seen(made.b.system, 'x')) as { from: Pid }[];
    made.b.system.send(message!.from, 'back');
    await made.run();
    expect(await made.seen(made.a.system, 'x')).toEqual(['back']);
  });

  test('a pid of the earlier life of a node reaches nobody in its next', async () => {
    const made = await pair();
    const pid = made.b.system.whereis('x')!;
    made.a.system.send({ ...pid, incarnation: 0 }, 'old');
    await made.run();
    expect(await made.seen(made.b.system, 'x')).toEqual([]);
    expect(made.b.system.statistics().deadLetters.noproc).toBe(1);
  });

  test('without a link a message is a dead letter', async () => {
    const made = await pair();
    made.mesh.cut(A, B);
    made.a.system.send(onB('x'), 1);
    made.a.system.cast({ name: 'x', node: 'clusterdb@elsewhere' }, 1);
    expect(made.a.system.statistics().deadLetters.noconnection).toBe(2);
  });

  test('a name of this node does not take the way over the link', async () => {
    const made = await pair();
    made.a.system.send({ name: 'x', node: A }, 1);
    await made.run();
    expect(await made.seen(made.a.system, 'x')).toEqual([1]);
    expect(made.mesh.sent).toEqual([]);
  });

  test('a message that cannot be carried is a dead letter and a line in the log, not a crash', async () => {
    const made = await pair();
    made.a.system.cast('x', act({ type: 'send', to: onB('x'), message: () => 'a function' }));
    await made.run();
    expect(made.a.system.whereis('x')?.serial).toBe(2);
    expect(details(made.a.logs)).toEqual(['Frame dropped']);
  });
});

describe('calls', () => {
  test('a call is answered over the link, also by a later message', async () => {
    const made = await pair();
    const direct = made.a.system.call(onB('x'), 'pid');
    await made.run();
    expect(await direct).toBe('<0.2.0>');
    expect(made.a.system.statistics()).toMatchObject({ callsPending: 0, timersPending: 0 });
    expect(made.b.system.statistics()).toMatchObject({ callsPending: 0, timersPending: 0 });
  });

  test('a call from a worker to another node comes back as its outcome', async () => {
    const made = await pair();
    made.a.system.cast('x', act({ type: 'run', name: 'ask', work: (worker) => worker.call(onB('y'), 'pid') }));
    await made.run();
    expect(await made.seen(made.a.system, 'x')).toMatchObject([{ type: 'worker', ok: true, value: '<0.3.0>' }]);
  });

  test('a call to nobody over there fails with noproc', async () => {
    const made = await pair();
    const call = reasonOf(made.a.system.call(onB('nobody'), 'pid'));
    await made.run();
    expect(await call).toBe('noproc');
  });

  test('a call without a link fails at once with noconnection', async () => {
    const made = await pair();
    made.mesh.cut(A, B);
    expect(await reasonOf(made.a.system.call(onB('x'), 'pid'))).toBe('noconnection');
    const alone = rig();
    expect(await reasonOf(alone.system.call(onB('x'), 'pid'))).toBe('noconnection');
    expect(made.clock.pending).toBe(0);
  });

  test('a link lost during a call fails it at once, on both sides nothing is left', async () => {
    const made = await pair();
    const waiting = reasonOf(made.a.system.call(onB('x'), 'ignore', 60_000));
    const underWay = reasonOf(made.a.system.call(onB('x'), 'pid', 60_000));
    await settle([made.a.system, made.b.system], made.clock);
    made.mesh.cut(A, B);
    expect(await waiting).toBe('noconnection');
    expect(await underWay).toBe('noconnection');
    await made.run();
    expect(made.a.system.statistics()).toMatchObject({ callsPending: 0, timersPending: 0 });
    expect(made.b.system.statistics()).toMatchObject({ callsPending: 0, timersPending: 0 });
  });

  test('an answer given after the link was lost and made again answers no other call', async () => {
    const made = await pair();
    const added = made.b.system.startChild('top', { id: 'keeper', register: 'keeper', module: keeper });
    await made.run();
    await added;
    const lost = reasonOf(made.a.system.call(onB('keeper'), 'first'));
    await made.run();
    made.mesh.cut(A, B);
    expect(await lost).toBe('noconnection');
    made.mesh.connect(A, B);
    const next = made.a.system.call(onB('keeper'), 'second');
    await made.run();
    made.b.system.cast('keeper', 0);
    await made.run();
    expect(made.b.system.statistics().lateReplies).toBe(1);
    made.b.system.cast('keeper', 1);
    await made.run();
    expect(await next).toBe('answer to second');
  });

  test('a link that is new without having been reported lost ends what belonged to the old one', async () => {
    const made = await pair();
    const call = reasonOf(made.a.system.call(onB('x'), 'ignore', 60_000));
    made.a.system.cast('x', act({ type: 'monitor', target: onB('y'), name: 'm' }));
    await made.run();
    made.mesh.connect(A, B);
    expect(await call).toBe('noconnection');
    await made.run();
    expect(await made.seen(made.a.system, 'x')).toMatchObject([{ type: 'DOWN', reason: 'noconnection' }]);
    expect(made.b.system.statistics().callsPending).toBe(0);
  });

  test('the death of the callee over there fails the call at once with the text of the error', async () => {
    const made = await pair();
    const call = reasonOf(made.a.system.call(onB('x'), 'ignore', 60_000));
    const killed = reasonOf(made.a.system.call(onB('y'), 'ignore', 60_000));
    await made.run();
    made.b.system.cast('x', crash('disc gone'));
    made.b.system.exit('y', 'kill');
    await made.run();
    const reason = (await call) as { type: string; error: Error };
    expect(reason.error).toBeInstanceOf(RemoteError);
    expect(reason.error.message).toBe('Error: disc gone');
    expect(await killed).toBe('killed');
  });

  test('a call nobody answers leaves nothing on the node that was asked, once the caller has given up', async () => {
    const made = await pair();
    const call = reasonOf(made.a.system.call(onB('x'), 'ignore', 700));
    await made.run();
    expect(made.b.system.statistics()).toMatchObject({ callsPending: 1, timersPending: 1 });
    await made.run(700);
    expect(await call).toBe('timeout');
    expect(made.b.system.statistics()).toMatchObject({ callsPending: 0, timersPending: 0 });
  });

  test('a full mailbox over there refuses the call', async () => {
    const made = await pair();
    const added = made.b.system.startChild('top', puppetSpec('small', [], { mailboxMax: 1 }));
    await made.run();
    await added;
    const call = reasonOf(made.a.system.call(onB('small'), 'seen'));
    made.b.system.send('small', 1);
    made.mesh.carry();
    await made.run();
    expect(await call).toBe('mailbox_full');
  });

  test('an answer that cannot be carried fails the call', async () => {
    const made = await pair();
    const added = made.b.system.startChild('top', puppetSpec('odd', [], { module: { ...oddModule } }));
    await made.run();
    await added;
    const call = rejection(made.a.system.call(onB('odd'), 'x'));
    await made.run();
    expect(String(await call)).toContain('could not be sent');
  });

  test('a node that stops fails the calls of others', async () => {
    const made = await pair();
    const call = reasonOf(made.a.system.call(onB('x'), 'ignore'));
    await made.run();
    const stopped = made.b.system.stop();
    await made.run();
    await stopped;
    expect(await call).toBe('shutdown');
    const after = reasonOf(made.a.system.call(onB('x'), 'pid'));
    await made.run();
    expect(await after).toBe('noproc');
  });

  /** Keeps whom it owes an answer, and gives the answer with that number when told. */
  const keeper: GenServer<{ owed: [From, unknown][] }, undefined, unknown, number> = {
    init: () => ({ state: { owed: [] } }),
    handleCall: (message, from, state) => ({ state: { owed: [...state.owed, [from, message]] } }),
    handleCast(index, state) {
      const [to, message] = state.owed[index]!;
      return { state, effects: [{ type: 'reply', to, value: `answer to ${message}` }] };
    },
    handleInfo: (_message, state) => ({ state }),
  };

  const oddModule = {
    init: () => ({ state: 0 }),
    handleCall: (_message: unknown, from: From) => ({
      state: 0,
      effects: [{ type: 'reply' as const, to: from, value: () => 0 }],
    }),
    handleCast: () => ({ state: 0 }),
    handleInfo: () => ({ state: 0 }),
  };
});

describe('monitors', () => {
  const watch = (made: Pair, name: string) =>
    made.a.system.cast('x', act({ type: 'monitor', target: onB(name), name: 'm' }));

  test('the end of a process over there arrives with its pid and reason', async () => {
    const made = await pair();
    const pid = made.b.system.whereis('x');
    watch(made, 'x');
    await made.run();
    made.b.system.exit('x', 'kill');
    await made.run();
    expect(await made.seen(made.a.system, 'x')).toEqual([{ type: 'DOWN', name: 'm', pid, reason: 'killed' }]);
  });

  test('the loss of the link arrives as noconnection, once', async () => {
    const made = await pair();
    watch(made, 'x');
    await made.run();
    made.mesh.cut(A, B);
    await made.run();
    made.mesh.connect(A, B);
    const before = made.mesh.sent.length;
    made.b.system.exit('x', 'kill');
    await made.run();
    expect(made.mesh.sent.slice(before)).toEqual([]);
    expect(await made.seen(made.a.system, 'x')).toEqual([
      { type: 'DOWN', name: 'm', pid: undefined, reason: 'noconnection' },
    ]);
  });

  test('nobody over there is noproc, no link is noconnection at once', async () => {
    const made = await pair();
    watch(made, 'nobody');
    await made.run();
    expect(await made.seen(made.a.system, 'x')).toMatchObject([{ reason: 'noproc' }]);
    made.mesh.cut(A, B);
    watch(made, 'x');
    await made.run();
    expect(await made.seen(made.a.system, 'x')).toMatchObject([{ reason: 'noproc' }, { reason: 'noconnection' }]);
  });

  test('demonitor, and the end of the watcher, are told to the other node', async () => {
    const made = await pair();
    watch(made, 'x');
    await made.run();
    made.a.system.cast('x', act({ type: 'demonitor', name: 'm' }));
    made.a.system.cast('y', act({ type: 'monitor', target: onB('x'), name: 'other' }));
    await made.run();
    made.a.system.exit('y', 'kill');
    await made.run();
    const before = made.mesh.sent.length;
    made.b.system.exit('x', 'kill');
    await made.run();
    expect(made.mesh.sent.slice(before)).toEqual([]);
    expect(await made.seen(made.a.system, 'x')).toEqual([]);
  });
});

describe('hostile frames', () => {
  const frames: [string, unknown][] = [
    ['no list', 'hello'],
    ['null', null],
    ['an empty list', []],
    ['an unknown kind', ['exit', 'x', 'kill']],
    ['a kind that is no text', [{ toString: 'send' }, 'x', 1]],
    ['send without a message', ['send', 'x']],
    ['send with too much', ['send', 'x', 1, 2]],
    ['send to an empty name', ['send', '', 1]],
    ['send to a name without end', ['send', 'x'.repeat(256), 1]],
    ['send to half a pid', ['send', [2], 1]],
    ['send to a pid of text', ['send', ['2', '1'], 1]],
    ['send to a pid beyond counting', ['send', [2 ** 60, 1], 1]],
    ['a faked timeout', ['send', 'x', { type: 'timeout', name: 't' }]],
    ['a faked DOWN', ['send', 'x', { type: 'DOWN', name: 'm', reason: 'killed' }]],
    ['a faked worker outcome', ['send', 'x', { type: 'worker', name: 'job', ok: true }]],
    ['call without a number', ['call', 'one', 0, 'x', 100, 'pid']],
    ['call with a negative number', ['call', -1, 0, 'x', 100, 'pid']],
    ['call with an endless timeout', ['call', 1, 0, 'x', 1e300, 'pid']],
    ['call with a timeout of NaN', ['call', 1, 0, 'x', Number.NaN, 'pid']],
    ['reply without a value', ['reply', 1]],
    ['fail with an unknown reason', ['fail', 1, 'because']],
    ['fail with a reason too long', ['fail', 1, ['error', 'x'.repeat(1001)]]],
    ['monitor without a number', ['monitor', null, 'x']],
    ['demonitor with too much', ['demonitor', 1, 2]],
    ['down with a reason that is an object', ['down', 1, { type: 'error', error: 1 }, null]],
    ['down with a bad pid', ['down', 1, 'normal', 'x'.repeat(300)]],
  ];
  for (const [what, frame] of frames) {
    test(`${what} is dropped, counted and logged, and nobody gets it`, async () => {
      const made = await pair();
      made.mesh.inject(B, A, frame);
      await made.run();
      expect(await made.seen(made.a.system, 'x')).toEqual([]);
      expect(made.a.system.statistics().badFrames).toBe(1);
      expect(details(made.a.logs)).toEqual(['Frame dropped']);
      expect(made.mesh.sent.filter((sent) => sent.from === A)).toEqual([]);
    });
  }

  test('rubbish without end fills a counter and not the log', async () => {
    const made = await pair();
    for (let index = 0; index < 1000; index += 1) made.mesh.inject(B, A, ['rubbish', index]);
    await made.run();
    expect(made.a.system.statistics().badFrames).toBe(1000);
    expect(made.a.logs).toHaveLength(1);
  });

  test('an answer from a node that was not asked is dropped', async () => {
    const made = await pair();
    const other = 'clusterdb@c';
    made.mesh.connect(A, other);
    const call = made.a.system.call(onB('x'), 'pid');
    made.mesh.inject(other, A, ['reply', 1, 'forged']);
    await made.run();
    expect(await call).toBe('<0.2.0>');
    expect(made.a.system.statistics().badFrames).toBe(1);
  });

  test('answers to calls never made are late replies, downs of monitors never set are ignored', async () => {
    const made = await pair();
    made.mesh.inject(B, A, ['reply', 77, 'x']);
    made.mesh.inject(B, A, ['fail', 78, 'noproc']);
    made.mesh.inject(B, A, ['down', 79, 'noproc', null]);
    made.mesh.inject(B, A, ['demonitor', 80]);
    await made.run();
    expect(made.a.system.statistics()).toMatchObject({ lateReplies: 2, badFrames: 0 });
  });

  test('a node may have so many calls waiting here and no more', async () => {
    const made = await pair();
    for (let index = 1; index <= REMOTE_CALLS_PER_NODE_MAX + 5; index += 1) {
      made.mesh.inject(B, A, ['call', index, 0, index % 2 === 0 ? 'x' : 'y', -1, 'ignore']);
      if (index % 1000 === 0) await made.run();
    }
    await made.run();
    expect(made.a.system.statistics().callsPending).toBe(REMOTE_CALLS_PER_NODE_MAX);
    expect(made.mesh.sent.filter((sent) => sent.from === A).map((sent) => sent.message)).toEqual(
      [1, 2, 3, 4, 5].map((beyond) => ['fail', REMOTE_CALLS_PER_NODE_MAX + beyond, 'mailbox_full']),
    );
    made.mesh.cut(A, B);
    expect(made.a.system.statistics().callsPending).toBe(0);
  });

  test('a node may hold so many monitors here, each number once', async () => {
    const made = await pair();
    for (let ref = 1; ref <= REMOTE_MONITORS_PER_NODE_MAX + 1; ref += 1) made.mesh.inject(B, A, ['monitor', ref, 'x']);
    made.mesh.inject(B, A, ['demonitor', 1]);
    made.mesh.inject(B, A, ['monitor', 2, 'y']);
    await made.run();
    expect(made.a.system.statistics().badFrames).toBe(2);
  });

  test('another node cannot start or stop children here', async () => {
    const made = await pair();
    const call = rejection(made.a.system.call(onB('top'), startChild({ args: 1 })));
    await made.run();
    expect(String(await call)).toContain('from its own node only');
  });

  test('exit does not reach over the link', async () => {
    const made = await pair();
    expect(() => made.a.system.exit(onB('x'), 'kill')).toThrow('of this node only');
  });
});
