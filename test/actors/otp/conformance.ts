import { describe, expect, test } from 'vitest';
import {
  ExitError,
  type ExitReason,
  type Pid,
  type ProcessHost,
  type WorkerContext,
} from '../../../actors/otp/index.ts';
import { turn, type VirtualClock } from '../../support/virtual-clock.ts';
import { act, crash, puppetSpec, type Rig, rejection, rig, seen, top } from './support.ts';

type MakeHost = (clock: VirtualClock) => ProcessHost;

/** What any host underneath must not change. Run on every implementation of ProcessHost. */
export function hostConformance(name: string, host: MakeHost): void {
  describe(`processes over ${name}`, () => {
    messages(host);
    bounds(host);
    monitors(host);
    exits(host);
    calls(host);
    timers(host);
    workers(host);
    registry(host);
    stop(host);
  });
}

async function started(host: MakeHost, ...names: string[]): Promise<Rig & { journal: string[] }> {
  const journal: string[] = [];
  const made = rig({ host });
  await made.system.start(top(names.map((child) => puppetSpec(child, journal))));
  return { ...made, journal };
}

function pidOf(made: Rig, name: string): Pid {
  const pid = made.system.whereis(name);
  if (pid === undefined) throw new Error(`${name} is not registered.`);
  return pid;
}

function messages(host: MakeHost): void {
  test('messages of one sender arrive in the order they were sent, casts and sends mixed', async () => {
    const made = await started(host, 'a');
    for (let index = 0; index < 1000; index += 1) {
      if (index % 2 === 0) made.system.send('a', index);
      else made.system.cast('a', index);
    }
    await made.settle();
    expect(await seen(made.system, 'a', made.settle)).toEqual(Array.from({ length: 1000 }, (_, index) => index));
  });

  test('nothing is handled inside send: a process has its turn later', async () => {
    const made = await started(host, 'a', 'b');
    let duringSend: number | undefined;
    made.system.cast('a', (state: { seen: unknown[] }) => {
      made.system.cast('b', act({ type: 'send', to: 'a', message: 'answer' }));
      duringSend = state.seen.length;
      return [];
    });
    await made.settle();
    expect(duringSend).toBe(0);
    expect(await seen(made.system, 'a', made.settle)).toEqual(['answer']);
  });

  test('a flooded process yields: others are served and timers fire before its mailbox is empty', async () => {
    const made = await started(host, 'flooded', 'other');
    const order: string[] = [];
    for (let index = 0; index < 2000; index += 1) {
      made.system.cast('flooded', () => {
        order.push('flooded');
        return [];
      });
    }
    made.system.cast('other', () => {
      order.push('other');
      return [];
    });
    made.clock.after(0, () => order.push('timer'));
    await made.settle();
    expect(order.length).toBe(2002);
    expect(order.indexOf('other')).toBeLessThanOrEqual(256);
    expect(order.indexOf('timer')).toBeLessThan(2000);
  });

  test('a process sees what another sent before it hears of its death', async () => {
    const made = await started(host, 'a', 'b');
    made.system.cast('a', act({ type: 'monitor', target: 'b', name: 'watch b' }));
    await made.settle();
    made.system.cast('b', act({ type: 'send', to: 'a', message: 'last words' }, { type: 'stop', reason: 'normal' }));
    await made.settle();
    const got = await seen(made.system, 'a', made.settle);
    expect(got.map((message) => (typeof message === 'string' ? message : message.type))).toEqual([
      'last words',
      'DOWN',
    ]);
  });
}

function bounds(host: MakeHost): void {
  test('a full mailbox refuses the newest message, counts it, logs once, and fails a call at once', async () => {
    const made = rig({ host });
    await made.system.start(top([puppetSpec('a', [], { mailboxMax: 10 })]));
    for (let index = 0; index < 25; index += 1) made.system.send('a', index);
    const refused = rejection(made.system.call('a', 'seen'));
    await made.settle();
    expect(((await refused) as ExitError).reason).toBe('mailbox_full');
    expect(await seen(made.system, 'a', made.settle)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(made.system.statistics().deadLetters.mailbox_full).toBe(16);
    expect(made.logs.filter((record) => record.level === 'WARN').length).toBe(1);
  });

  test('with drop_oldest the oldest message goes, never a call that waits', async () => {
    const made = rig({ host });
    await made.system.start(top([puppetSpec('a', [], { mailboxMax: 3, mailboxPolicy: 'drop_oldest' })]));
    const waiting = made.system.call('a', 'seen');
    for (let index = 0; index < 6; index += 1) made.system.send('a', index);
    await made.settle();
    expect(await waiting).toEqual([]);
    expect(await seen(made.system, 'a', made.settle)).toEqual([4, 5]);
  });

  test('timeouts and DOWN fit into a full mailbox', async () => {
    const made = rig({ host });
    await made.system.start(top([puppetSpec('a', [], { mailboxMax: 2 }), puppetSpec('b', [])]));
    made.system.cast(
      'a',
      act({ type: 'startTimer', name: 't', delayMs: 5 }, { type: 'monitor', target: 'b', name: 'm' }),
    );
    await made.settle();
    made.system.cast('a', () => {
      // Fills its own mailbox and lets time pass while it does: what comes due must still fit.
      for (let index = 0; index < 5; index += 1) made.system.send('a', index);
      made.system.exit('b', 'kill');
      made.clock.advance(5);
      return [];
    });
    await made.settle();
    const types = (await seen(made.system, 'a', made.settle)).map((message) =>
      typeof message === 'object' ? message.type : message,
    );
    expect(types).toEqual([0, 1, 'DOWN', 'timeout']);
  });
}

function monitors(host: MakeHost): void {
  const downs = async (made: Rig): Promise<unknown[]> => seen(made.system, 'watcher', made.settle);

  test('a monitor tells the reason of the end, once', async () => {
    const made = await started(host, 'watcher', 'b');
    const pid = pidOf(made, 'b');
    made.system.cast('watcher', act({ type: 'monitor', target: pid, name: 'm' }));
    await made.settle();
    made.system.cast('b', act({ type: 'stop', reason: { type: 'shutdown', detail: 'enough' } }));
    await made.settle();
    expect(await downs(made)).toEqual([
      { type: 'DOWN', name: 'm', pid, reason: { type: 'shutdown', detail: 'enough' } },
    ]);
  });

  test('a monitor on who is not there answers noproc at once', async () => {
    const made = await started(host, 'watcher');
    made.system.cast('watcher', act({ type: 'monitor', target: 'nobody', name: 'm' }));
    await made.settle();
    expect(await downs(made)).toEqual([{ type: 'DOWN', name: 'm', pid: undefined, reason: 'noproc' }]);
  });

  test('after demonitor no DOWN comes, not even one that waits in the mailbox already', async () => {
    const made = await started(host, 'watcher', 'b');
    made.system.cast('watcher', act({ type: 'monitor', target: 'b', name: 'm' }));
    await made.settle();
    made.system.cast('watcher', () => {
      made.system.exit('b', 'kill');
      return [{ type: 'demonitor', name: 'm' }];
    });
    await made.settle();
    expect(await downs(made)).toEqual([]);
  });

  test('a monitor of the same name replaces the earlier one', async () => {
    const made = await started(host, 'watcher', 'b', 'c');
    made.system.cast(
      'watcher',
      act({ type: 'monitor', target: 'b', name: 'm' }, { type: 'monitor', target: 'c', name: 'm' }),
    );
    await made.settle();
    const pid = pidOf(made, 'c');
    made.system.exit('b', 'kill');
    made.system.exit('c', 'kill');
    await made.settle();
    expect(await downs(made)).toEqual([{ type: 'DOWN', name: 'm', pid, reason: 'killed' }]);
  });
}

function exits(host: MakeHost): void {
  const ends: [string, (made: Rig) => void, ExitReason, string[]][] = [
    [
      'stop normal',
      (made) => made.system.cast('b', act({ type: 'stop', reason: 'normal' })),
      'normal',
      ['terminate b normal'],
    ],
    ['a signal', (made) => made.system.exit('b', 'shutdown'), 'shutdown', ['terminate b shutdown']],
    ['kill, which runs no terminate', (made) => made.system.exit('b', 'kill'), 'killed', []],
    [
      'stop with kill, which is killed to others',
      (made) => made.system.cast('b', act({ type: 'stop', reason: 'kill' })),
      'killed',
      ['terminate b killed'],
    ],
  ];
  for (const [what, end, reason, journal] of ends) {
    test(`the exit reason of ${what} reaches who watches`, async () => {
      const made = await started(host, 'watcher', 'b');
      made.system.cast('watcher', act({ type: 'monitor', target: 'b', name: 'm' }));
      await made.settle();
      end(made);
      await made.settle();
      expect(await seen(made.system, 'watcher', made.settle)).toMatchObject([{ type: 'DOWN', reason }]);
      expect(made.journal.filter((line) => line.startsWith('terminate'))).toEqual(journal);
    });
  }

  test('a throw ends the process with that error, after terminate, and with a line in the log', async () => {
    const made = await started(host, 'watcher', 'b');
    made.system.cast('watcher', act({ type: 'monitor', target: 'b', name: 'm' }));
    await made.settle();
    made.system.cast('b', crash('broken'));
    await made.settle();
    const [down] = await seen(made.system, 'watcher', made.settle);
    expect(down).toMatchObject({ reason: { type: 'error', error: new Error('broken') } });
    expect(made.journal).toContain('terminate b error');
    expect(made.logs.filter((record) => record.level === 'ERROR').length).toBe(1);
  });

  test('a foreign signal normal is ignored', async () => {
    const made = await started(host, 'b');
    const pid = pidOf(made, 'b');
    made.system.exit('b', 'normal');
    await made.settle();
    expect(pidOf(made, 'b')).toEqual(pid);
  });

  test('exit signals overtake messages: what waits in the mailbox is not handled and counts as dead', async () => {
    const made = await started(host, 'b');
    for (let index = 0; index < 7; index += 1) made.system.cast('b', crash('must not run'));
    made.system.exit('b', 'shutdown');
    await made.settle();
    expect(made.journal).toEqual(['init b', 'terminate b shutdown', 'init b']);
    expect(made.system.statistics().deadLetters.left_in_mailbox).toBe(7);
  });

  test('a process that kills itself through a port leaves no effect of that message behind', async () => {
    const made = await started(host, 'a', 'b');
    made.system.cast('b', () => {
      made.system.exit('b', 'kill');
      return [{ type: 'send', to: 'a', message: 'from beyond' }];
    });
    await made.settle();
    expect(await seen(made.system, 'a', made.settle)).toEqual([]);
  });

  test('stop takes effect after the other effects of the message, so the reply is given', async () => {
    const made = await started(host, 'b');
    const answer = made.system.call('b', (from: never) => [
      { type: 'stop', reason: 'normal' },
      { type: 'reply', to: from, value: 'bye' },
    ]);
    await made.settle();
    expect(await answer).toBe('bye');
  });
}

function calls(host: MakeHost): void {
  const reasonOf = async (call: Promise<unknown>): Promise<unknown> => {
    const error = await rejection(call);
    expect(error).toBeInstanceOf(ExitError);
    return (error as ExitError).reason;
  };

  test('a call to nobody fails at once with noproc', async () => {
    const made = await started(host);
    expect(await reasonOf(made.system.call('nobody', 'x'))).toBe('noproc');
    expect(made.clock.pending).toBe(0);
  });

  test('a call fails at once when its callee dies, and leaves no timer', async () => {
    const made = await started(host, 'b');
    const call = reasonOf(made.system.call('b', 'ignore', 60_000));
    await made.settle();
    made.system.exit('b', 'kill');
    await made.settle();
    expect(await call).toBe('killed');
    expect(made.system.statistics()).toMatchObject({ callsPending: 0, timersPending: 0 });
  });

  test('a call whose handler throws fails with that error', async () => {
    const made = await started(host, 'b');
    const call = reasonOf(made.system.call('b', crash('in call')));
    await made.settle();
    expect(await call).toEqual({ type: 'error', error: new Error('in call') });
  });

  test('a call that waits in the mailbox of a process that stops fails at once', async () => {
    const made = await started(host, 'b');
    made.system.cast('b', act({ type: 'stop', reason: 'normal' }));
    const call = reasonOf(made.system.call('b', 'seen', Number.POSITIVE_INFINITY));
    await made.settle();
    expect(await call).toBe('normal');
  });

  test('a call nobody answers fails at its deadline, and a late answer is counted', async () => {
    const made = await started(host, 'b');
    let reply: (() => void) | undefined;
    const call = reasonOf(
      made.system.call(
        'b',
        (from: never) => {
          reply = () => made.system.cast('b', act({ type: 'reply', to: from, value: 'late' }));
          return [];
        },
        500,
      ),
    );
    await made.settle(499);
    expect(made.system.statistics().callsPending).toBe(1);
    await made.settle(1);
    expect(await call).toBe('timeout');
    reply?.();
    await made.settle();
    expect(made.system.statistics()).toMatchObject({ lateReplies: 1, timersPending: 0 });
  });

  test('a second answer to one call is counted as late and changes nothing', async () => {
    const made = await started(host, 'b');
    const call = made.system.call('b', (from: never) => [
      { type: 'reply', to: from, value: 1 },
      { type: 'reply', to: from, value: 2 },
    ]);
    await made.settle();
    expect(await call).toBe(1);
    expect(made.system.statistics().lateReplies).toBe(1);
  });

  test('a call without limit has no timer', async () => {
    const made = await started(host, 'b');
    const call = made.system.call('b', 'ignore', Number.POSITIVE_INFINITY);
    const failed = rejection(call);
    await made.settle(100 * 24 * 3_600_000);
    expect(made.system.statistics()).toMatchObject({ callsPending: 1, timersPending: 0 });
    made.system.exit('b', 'kill');
    await made.settle();
    expect(await failed).toBeInstanceOf(ExitError);
  });
}

function timers(host: MakeHost): void {
  const at = async (made: Rig): Promise<unknown[]> => seen(made.system, 'a', made.settle);

  test('a timer comes once, when due, with its message', async () => {
    const made = await started(host, 'a');
    made.system.cast('a', act({ type: 'startTimer', name: 't', delayMs: 100, message: 'tick' }));
    await made.settle(99);
    expect(await at(made)).toEqual([]);
    await made.settle(1);
    expect(await at(made)).toEqual([{ type: 'timeout', name: 't', message: 'tick' }]);
    await made.settle(1000);
    expect((await at(made)).length).toBe(1);
  });

  test('starting a timer again moves it', async () => {
    const made = await started(host, 'a');
    made.system.cast('a', act({ type: 'startTimer', name: 't', delayMs: 100, message: 1 }));
    await made.settle(60);
    made.system.cast('a', act({ type: 'startTimer', name: 't', delayMs: 100, message: 2 }));
    await made.settle(60);
    expect(await at(made)).toEqual([]);
    await made.settle(40);
    expect(await at(made)).toEqual([{ type: 'timeout', name: 't', message: 2 }]);
  });

  test('a cancelled timer is never heard of, even when its message waits in the mailbox already', async () => {
    const made = await started(host, 'a');
    made.system.cast('a', act({ type: 'startTimer', name: 't', delayMs: 10 }));
    await made.settle();
    made.system.cast('a', () => {
      made.clock.advance(10);
      return [{ type: 'cancelTimer', name: 't' }];
    });
    await made.settle(100);
    expect(await at(made)).toEqual([]);
  });

  test('timers end with their process', async () => {
    const made = await started(host, 'a');
    made.system.cast('a', act({ type: 'startTimer', name: 't', delayMs: 10_000 }));
    await made.settle();
    expect(made.system.statistics().timersPending).toBe(1);
    made.system.exit('a', 'kill');
    await made.settle();
    expect(made.system.statistics().timersPending).toBe(0);
    expect(made.clock.pending).toBe(0);
  });
}

function workers(host: MakeHost): void {
  const outcomes = async (made: Rig): Promise<unknown[]> => seen(made.system, 'a', made.settle);
  const run = (work: (worker: WorkerContext) => unknown) => act({ type: 'run', name: 'job', work });

  test('a worker has a pid of its own and its value comes back as a message', async () => {
    const made = await started(host, 'a');
    made.system.cast(
      'a',
      run(async (worker) => worker.self.text),
    );
    await made.settle();
    const [outcome] = await outcomes(made);
    expect(outcome).toMatchObject({ type: 'worker', name: 'job', ok: true });
    const { pid, value } = outcome as { pid: Pid; value: string };
    expect(value).toBe(pid.text);
    expect(pid.text).not.toBe(pidOf(made, 'a').text);
    expect(made.system.statistics().processes).toBe(2);
  });

  test('what a worker sent comes before its outcome', async () => {
    const made = await started(host, 'a');
    made.system.cast(
      'a',
      run((worker) => {
        worker.send('a', 'first');
        return 'second';
      }),
    );
    await made.settle();
    expect(await outcomes(made)).toMatchObject(['first', { type: 'worker', value: 'second' }]);
  });

  for (const [how, work] of [
    [
      'throws',
      () => {
        throw new Error('bad');
      },
    ],
    [
      'rejects',
      async () => {
        throw new Error('bad');
      },
    ],
  ] as const) {
    test(`a worker that ${how} ends alone and its owner gets the error`, async () => {
      const made = await started(host, 'a');
      made.system.cast('a', run(work));
      await made.settle();
      expect(await outcomes(made)).toMatchObject([
        { type: 'worker', ok: false, reason: { type: 'error', error: new Error('bad') } },
      ]);
      expect(made.journal).toEqual(['init a']);
    });
  }

  test('a worker dies with its owner: its sleep ends, its call is dropped, its late words go nowhere', async () => {
    const made = await started(host, 'a', 'b');
    let woke = false;
    made.system.cast(
      'a',
      act(
        {
          type: 'run',
          name: 'sleeper',
          work: async (worker) => {
            await worker.sleep(100);
            woke = true;
          },
        },
        { type: 'run', name: 'caller', work: async (worker) => worker.call('b', 'ignore', 10_000) },
        {
          type: 'run',
          name: 'zombie',
          work: async (worker) => {
            await turn();
            await turn();
            await turn();
            worker.send('b', 'zombie');
          },
        },
      ),
    );
    await turn();
    made.clock.advance(0);
    await turn();
    made.system.exit('a', 'shutdown');
    await made.settle(1000);
    expect(woke).toBe(false);
    expect(await seen(made.system, 'b', made.settle)).toEqual([]);
    expect(made.system.statistics()).toMatchObject({ callsPending: 0, timersPending: 0, workersAbandoned: 3 });
  });

  test('a worker that is killed reports killed to its owner', async () => {
    const made = await started(host, 'a');
    made.system.cast(
      'a',
      run(async (worker) => worker.sleep(1000)),
    );
    await made.settle();
    const child = made.system.tree()[0]?.children[0]?.children[0];
    expect(child).toMatchObject({ id: 'job', type: 'worker' });
    const serial = Number(child?.pid.split('.')[1]);
    made.system.exit({ ...pidOf(made, 'a'), serial }, 'kill');
    await made.settle();
    expect(await outcomes(made)).toMatchObject([{ type: 'worker', ok: false, reason: 'killed' }]);
  });

  test('a worker calls a server, and its call fails at once when the server dies', async () => {
    const made = await started(host, 'a', 'b');
    made.system.cast(
      'a',
      run(async (worker) => [await worker.call('b', 'pid'), await worker.call('b', crash('gone'))]),
    );
    await made.settle();
    const [outcome] = (await outcomes(made)) as { reason: { error: ExitError } }[];
    expect(outcome?.reason.error).toBeInstanceOf(ExitError);
    expect(outcome?.reason.error.reason).toEqual({ type: 'error', error: new Error('gone') });
  });

  test('a call a worker does not wait for cannot hurt the program when it fails', async () => {
    const made = await started(host, 'a');
    made.system.cast(
      'a',
      run((worker) => {
        void worker.call('nobody', 'x');
        return 'done';
      }),
    );
    await made.settle();
    expect(await outcomes(made)).toMatchObject([{ ok: true, value: 'done' }]);
  });
}

function registry(host: MakeHost): void {
  test('a name leads to one process, is free when the process ends, and then to its successor', async () => {
    const made = await started(host, 'a');
    const first = pidOf(made, 'a');
    made.system.exit('a', 'kill');
    expect(made.system.whereis('a')).toBeUndefined();
    await made.settle();
    const second = pidOf(made, 'a');
    expect(second.serial).toBeGreaterThan(first.serial);
    made.system.send(first, 'to the dead');
    await made.settle();
    expect(await seen(made.system, 'a', made.settle)).toEqual([]);
    expect(made.system.statistics().deadLetters.noproc).toBe(1);
  });

  test('a pid of an earlier life of this node reaches nobody', async () => {
    const made = await started(host, 'a');
    const pid = pidOf(made, 'a');
    made.system.send({ ...pid, incarnation: 0 }, 'old');
    await made.settle();
    expect(await seen(made.system, 'a', made.settle)).toEqual([]);
  });
}

function stop(host: MakeHost): void {
  test('stop ends children last started first, leaves no process, call or timer, and takes nothing more', async () => {
    const made = await started(host, 'a', 'b', 'c');
    made.system.cast(
      'b',
      act(
        { type: 'startTimer', name: 't', delayMs: 1000 },
        { type: 'run', name: 'job', work: async (worker) => worker.sleep(5000) },
      ),
    );
    const pending = rejection(made.system.call('a', 'ignore', 60_000));
    await made.settle();
    const stopped = made.system.stop();
    await made.settle();
    expect(await stopped).toEqual({ leftovers: [] });
    expect(made.journal.slice(3)).toEqual(['terminate c shutdown', 'terminate b shutdown', 'terminate a shutdown']);
    expect(((await pending) as ExitError).reason).toBe('shutdown');
    expect(made.system.statistics()).toMatchObject({ processes: 0, callsPending: 0, timersPending: 0 });
    expect(made.clock.pending).toBe(0);
    expect(made.fatal).toEqual([]);
    expect(((await rejection(made.system.call('a', 'seen'))) as ExitError).reason).toBe('noproc');
    expect(((await rejection(made.system.start(top([])))) as ExitError).reason).toBe('shutdown');
    expect(await made.system.stop()).toEqual({ leftovers: [] });
  });
}
