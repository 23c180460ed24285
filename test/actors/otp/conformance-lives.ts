import { expect, test } from 'vitest';
import type { Pid, WorkerContext } from '../../../actors/otp/index.ts';
import { ExitError, type ExitReason } from '../../../actors/otp/index.ts';
import { turn } from '../../support/virtual-clock.ts';
import { act, crash, type MakeHost, pidOf, type Rig, rejection, seen, started, top } from './support.ts';

/** The part of the conformance suite about how processes end, and what goes with them. */
export function exits(host: MakeHost): void {
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

export function workers(host: MakeHost): void {
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

export function registry(host: MakeHost): void {
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

export function stop(host: MakeHost): void {
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
