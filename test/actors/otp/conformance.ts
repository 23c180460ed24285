import { describe, expect, test } from 'vitest';
import { ExitError, type From } from '../../../actors/otp/index.ts';
import { exits, registry, stop, workers } from './conformance-lives.ts';
import {
  act,
  crash,
  type MakeHost,
  pidOf,
  puppetSpec,
  type Rig,
  rejection,
  rig,
  seen,
  started,
  top,
} from './support.ts';

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

  test('an answer to a From that strayed here from another node answers no call of this one', async () => {
    const made = await started(host, 'b');
    const call = made.system.call('b', (from: From) => [
      { type: 'reply', to: { ...from, pid: { ...from.pid, node: 'clusterdb@other' } }, value: 'strayed' },
      { type: 'reply', to: from, value: 'right' },
    ]);
    await made.settle();
    expect(await call).toBe('right');
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
