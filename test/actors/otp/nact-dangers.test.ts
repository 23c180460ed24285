/**
 * nact gives processes their turns, and has twenty-two behaviours that would ruin a peer. One test per danger shows
 * that it does not come through. Where the danger sits in a part of nact that is never used, the source is read.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { dispatch, spawn, start, stop } from 'nact';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type ExitError, type From, type GenServer, type Pid, startChild } from '../../../actors/otp/index.ts';
import { turn, VirtualClock } from '../../support/virtual-clock.ts';
import {
  act,
  crash,
  details,
  HOSTS,
  puppet,
  puppetSpec,
  type Rig,
  type RigOptions,
  rejection,
  rig,
  seen,
  top,
} from './support.ts';

const FOLDER = new URL('../../../actors/otp/', import.meta.url).pathname;
const HOST_SOURCE = readFileSync(join(FOLDER, 'nact-host.ts'), 'utf8');
const HOST_CODE = withoutComments(HOST_SOURCE);

const overNact = (options: RigOptions = {}): Rig => rig({ ...options, host: options.host ?? HOSTS[0]![1] });

async function puppets(names: readonly string[], options: RigOptions = {}): Promise<Rig & { journal: string[] }> {
  const journal: string[] = [];
  const made = overNact(options);
  await made.system.start(top(names.map((name) => puppetSpec(name, journal))));
  return { ...made, journal };
}

/** A server whose handlers must never overlap; it notes when they do. */
function exclusive(overlaps: string[]): GenServer<number, undefined, () => void, () => void, () => void> {
  let inside = 0;
  const guarded = (run: () => void): void => {
    inside += 1;
    if (inside > 1) overlaps.push(`${inside} at once`);
    try {
      run();
    } finally {
      inside -= 1;
    }
  };
  return {
    init: () => ({ state: 0 }),
    handleCall(message, from, state) {
      guarded(message);
      return { state, effects: [{ type: 'reply', to: from, value: state }] };
    },
    handleCast(message, state) {
      guarded(message);
      return { state: state + 1 };
    },
    handleInfo: (_message, state) => ({ state }),
    terminate: () => guarded(() => undefined),
  };
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe('faults', () => {
  test('nact danger 1 (reset or resume starts a second handler beside a busy one): one process never handles two messages at once', async () => {
    expect(HOST_CODE).not.toMatch(
      /\b(reset|resetAll|resetChild|resetAllChildren|resume|stopAll|stopChild|stopAllChildren)\b/,
    );
    expect(HOST_CODE).not.toMatch(/\basync\b|\bawait\b/);
    const overlaps: string[] = [];
    const made = overNact();
    const spec = { id: 'x', register: 'x', module: exclusive(overlaps), args: undefined };
    await made.system.start(top([spec, puppetSpec('y', [])], { strategy: 'one_for_all', intensity: 1000 }));
    for (let round = 0; round < 50; round += 1) {
      made.system.cast('x', () => {
        // Everything a handler can set off through a port: more messages, its own end, time that passes.
        made.system.cast('x', () => undefined);
        made.system.exit('x', round % 2 === 0 ? 'shutdown' : 'normal');
        made.clock.advance(1);
      });
      made.system.cast('x', () => {
        if (round % 3 === 0) throw new Error('crash');
      });
      await made.settle();
    }
    expect(overlaps).toEqual([]);
    expect(made.system.whereis('x')).toBeDefined();
  });

  test('nact danger 2 (a child that escalated is stuck for ever): after a crash the successor handles what comes', async () => {
    expect(HOST_CODE).not.toContain('escalate');
    const made = await puppets(['a']);
    made.system.cast('a', crash());
    await made.settle();
    made.system.send('a', 'after the crash');
    await made.settle();
    expect(await seen(made.system, 'a', made.settle)).toEqual(['after the crash']);
  });

  test('nact danger 3 (a throwing crash handler ends the program): nothing thrown anywhere reaches nact', async () => {
    const unhandled: unknown[] = [];
    const listener = (error: unknown): void => {
      unhandled.push(error);
    };
    process.on('unhandledRejection', listener);
    try {
      const hostile = {
        get text(): string {
          throw new Error('looked at');
        },
      };
      const made = await puppets(['a'], {
        log: () => {
          throw new Error('the log is broken as well');
        },
      });
      for (const thrown of [
        undefined,
        null,
        'text',
        hostile,
        new Proxy(
          {},
          {
            has: () => {
              throw new Error('trap');
            },
          },
        ),
      ]) {
        made.system.cast('a', () => {
          throw thrown;
        });
        await made.settle();
      }
      expect(made.system.whereis('a')).toBeDefined();
      expect(made.system.statistics().logFailures).toBeGreaterThanOrEqual(10);
      await turn();
      expect(unhandled).toEqual([]);
      expect(made.fatal).toEqual([]);
    } finally {
      process.off('unhandledRejection', listener);
    }
  });

  test('nact danger 4 (stopped during an await that then throws): a worker that fails after its owner is gone hurts nobody', async () => {
    const made = await puppets(['a']);
    let fail: (error: Error) => void = () => undefined;
    const waiting = new Promise<never>((_resolve, reject) => {
      fail = reject;
    });
    made.system.cast('a', act({ type: 'run', name: 'job', work: () => waiting }));
    await made.settle();
    made.system.exit('a', 'shutdown');
    await made.settle();
    fail(new Error('too late'));
    await made.settle();
    expect(await seen(made.system, 'a', made.settle)).toEqual([]);
    expect(made.system.statistics()).toMatchObject({ workersAbandoned: 1, processes: 2 });
  });

  test('nact danger 5 (afterStop runs during a message, or twice, or throws): terminate runs once, after the message, and may throw', async () => {
    expect(HOST_CODE).not.toContain('afterStop');
    const journal: string[] = [];
    const made = overNact();
    const onTerminate = (): void => {
      throw new Error('terminate is broken');
    };
    await made.system.start(top([puppetSpec('a', journal, { onTerminate }), puppetSpec('watcher', [])]));
    made.system.cast('watcher', act({ type: 'monitor', target: 'a', name: 'm' }));
    await made.settle();
    made.system.cast('a', () => {
      journal.push('message begins');
      made.system.exit('a', 'shutdown');
      made.system.exit('a', 'shutdown');
      journal.push('message ends');
      return [{ type: 'stop', reason: 'normal' }];
    });
    await made.settle();
    expect(journal).toEqual(['init a', 'message begins', 'message ends', 'terminate a normal', 'init a']);
    expect(await seen(made.system, 'watcher', made.settle)).toMatchObject([
      { type: 'DOWN', reason: { error: new Error('terminate is broken') } },
    ]);
  });

  test('nact danger 6 (stop cannot be awaited and drops the mailbox in silence): the end has a reason, a time and a count', async () => {
    const made = await puppets(['a', 'watcher']);
    made.system.cast('watcher', act({ type: 'monitor', target: 'a', name: 'm' }));
    await made.settle();
    made.system.cast('a', act({ type: 'stop', reason: { type: 'shutdown', detail: 'maintenance' } }));
    for (let index = 0; index < 5; index += 1) made.system.send('a', index);
    const lost = rejection(made.system.call('a', 'seen'));
    await made.settle();
    expect(await seen(made.system, 'watcher', made.settle)).toMatchObject([{ reason: { detail: 'maintenance' } }]);
    expect(((await lost) as ExitError).reason).toMatchObject({ type: 'shutdown' });
    expect(made.system.statistics().deadLetters.left_in_mailbox).toBe(6);
    const stopped = made.system.stop();
    await made.settle();
    expect(await stopped).toEqual({ leftovers: [] });
  });

  test('nact danger 7 (stateless actors resume after a throw without a word): three failed workers are three reports', async () => {
    expect(HOST_CODE).not.toContain('spawnStateless');
    const made = await puppets(['a']);
    const work = (): never => {
      throw new Error('failed');
    };
    made.system.cast('a', act(...[1, 2, 3].map((n) => ({ type: 'run' as const, name: `job ${n}`, work }))));
    await made.settle();
    expect(await seen(made.system, 'a', made.settle)).toMatchObject([{ ok: false }, { ok: false }, { ok: false }]);
  });

  test('nact danger 8 (the default policy prints to the console and stops for good): crashes go to the log, and supervisors restart', async () => {
    const printed = [vi.spyOn(console, 'log'), vi.spyOn(console, 'error'), vi.spyOn(console, 'warn')];
    const made = await puppets(['a']);
    made.system.cast('a', crash());
    await made.settle();
    expect(made.system.whereis('a')).toBeDefined();
    expect(details(made.logs)).toEqual(['Process ended abnormally', 'Restarting child']);
    for (const spy of printed) expect(spy).not.toHaveBeenCalled();
  });
});

describe('references and asks', () => {
  test('nact danger 9 (letters to the dead reach their successor, or nobody, in silence): a pid reaches one process, ever', async () => {
    const made = await puppets(['a']);
    const dead = made.system.whereis('a') as Pid;
    made.system.exit('a', 'kill');
    await made.settle();
    made.system.send(dead, 'for the dead');
    made.system.cast(dead, crash('must not run'));
    const call = (await rejection(made.system.call(dead, 'seen'))) as ExitError;
    await made.settle();
    expect(call.reason).toBe('noproc');
    expect(await seen(made.system, 'a', made.settle)).toEqual([]);
    expect(made.system.statistics().deadLetters.noproc).toBe(2);
  });

  test('nact danger 10 (an ask waits its whole timeout for the dead, and its timer outlives the system): a call fails at once and leaves no timer', async () => {
    expect(HOST_CODE).not.toContain('query');
    const made = await puppets(['a']);
    const calls = ['kill', 'shutdown'].map(() => rejection(made.system.call('a', 'ignore', 300_000)));
    await made.settle();
    made.system.exit('a', 'kill');
    await Promise.all(calls);
    expect(made.clock.monotonicMs()).toBe(0);
    expect(made.clock.pending).toBe(0);
  });

  test('nact danger 11 (a long timeout wraps and fires at once, 0 throws, late replies vanish): limits are checked and long waits are long', async () => {
    const made = await puppets(['a'], { clock: new WrappingClock() });
    const days = 24 * 3_600_000;
    for (const wrong of [Number.NaN, -1, 31 * days, '5' as never]) {
      expect(await rejection(made.system.call('a', 'seen', wrong))).toBeInstanceOf(RangeError);
    }
    const long = rejection(made.system.call('a', 'ignore', 29 * days));
    made.system.cast('a', act({ type: 'startTimer', name: 't', delayMs: 28 * days }));
    const zero = rejection(made.system.call('a', 'ignore', 0));
    await made.settle(27 * days);
    expect(((await zero) as ExitError).reason).toBe('timeout');
    expect(await seen(made.system, 'a', made.settle)).toEqual([]);
    expect(made.system.statistics()).toMatchObject({ callsPending: 1, timersPending: 2 });
    await made.settle(days);
    expect(await seen(made.system, 'a', made.settle)).toMatchObject([{ type: 'timeout', name: 't' }]);
    await made.settle(days);
    expect(((await long) as ExitError).reason).toBe('timeout');
  });

  test('nact danger 12 (random ids of asks collide and answer the wrong asker): ids count up and every answer finds its asker', async () => {
    const made = await puppets(['a']);
    const ids = new Set<number>();
    const calls = Array.from({ length: 5000 }, (_, index) =>
      made.system.call('a', (from: From) => {
        ids.add(from.callId);
        return [{ type: 'reply', to: from, value: index }];
      }),
    );
    await made.settle();
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 5000 }, (_, index) => index));
    expect(ids.size).toBe(5000);
    expect(Math.max(...ids) - Math.min(...ids)).toBe(4999);
  });
});

describe('state and start', () => {
  test('nact danger 13 (a throwing start loops without limit and freezes timers and sockets): tries are limited and others have their turn between', async () => {
    const made = overNact();
    let tries = 0;
    let broken = false;
    let timersBetween = 0;
    const onInit = (): undefined => {
      if (!broken) return undefined;
      tries += 1;
      throw new Error('never again');
    };
    await made.system.start(top([puppetSpec('a', [], { onInit })], { intensity: 20_000, periodMs: 60_000 }));
    broken = true;
    made.system.cast('a', crash());
    for (let turns = 0; made.fatal.length === 0 && turns < 1000; turns += 1) {
      await turn();
      if (tries > 0 && made.fatal.length === 0) timersBetween += 1;
    }
    expect(tries).toBe(20_000);
    expect(made.fatal).toEqual(['shutdown']);
    expect(timersBetween).toBeGreaterThan(20_000 / 256 / 2);
  });

  test('nact danger 14 (a reset reuses the same state object): a restarted process starts from init', async () => {
    expect(HOST_CODE).not.toContain('initialState');
    const made = await puppets(['a']);
    made.system.send('a', 'spoils the state');
    made.system.cast('a', crash());
    await made.settle();
    expect(await seen(made.system, 'a', made.settle)).toEqual([]);
  });

  test('nact danger 15 (a handler that returns nothing makes the state undefined): it is a crash that says so', async () => {
    const made = overNact();
    const module = { ...puppet, handleCast: () => undefined as never };
    await made.system.start(top([{ ...puppetSpec('a', []), module }, puppetSpec('watcher', [])]));
    made.system.cast('watcher', act({ type: 'monitor', target: 'a', name: 'm' }));
    await made.settle();
    made.system.cast('a', 'x');
    await made.settle();
    const [down] = await seen(made.system, 'watcher', made.settle);
    expect(String((down as { reason: { error: unknown } }).reason.error)).toContain(
      'handleCast of "a" returned no state',
    );
  });

  test('nact danger 16 (each message copies all children of its actor): no nact actor that gets messages has children', async () => {
    // One spawn below the silent parent per process, one below the system for that parent; one dispatch, to a slot.
    expect(HOST_CODE.match(/\bspawn\(\w+/g)).toEqual(['spawn(system', 'spawn(parent']);
    expect(HOST_CODE.match(/\bdispatch\([^,]+/g)).toEqual(['dispatch(this.actor']);
    const made = overNact();
    const workers = Array.from({ length: 500 }, (_, index) => ({
      type: 'run' as const,
      name: `job ${index}`,
      work: () => index,
    }));
    await made.system.start(top([puppetSpec('a', [])]));
    made.system.cast('a', act(...workers));
    await made.settle();
    expect(await seen(made.system, 'a', made.settle)).toHaveLength(500);
  });

  test('nact danger 17 (a mailbox without bound or priorities): messages beyond the bound are refused, exit signals come first', async () => {
    const journal: string[] = [];
    const made = overNact();
    await made.system.start(top([puppetSpec('a', journal, { mailboxMax: 100, restart: 'temporary' })]));
    for (let index = 0; index < 150; index += 1) made.system.send('a', index);
    made.system.exit('a', 'shutdown');
    await made.settle();
    expect(journal).toEqual(['init a', 'terminate a shutdown']);
    expect(made.system.statistics().deadLetters).toMatchObject({ mailbox_full: 50, left_in_mailbox: 100 });
  });

  test('nact danger 18 (a system of the same name silently replaces the first): two systems of one node in one program keep to themselves', async () => {
    const first = await puppets(['a']);
    const second = await puppets(['a']);
    first.system.send('a', 'first');
    second.system.send('a', 'second');
    await first.settle();
    await second.settle();
    expect(await seen(first.system, 'a', first.settle)).toEqual(['first']);
    expect(await seen(second.system, 'a', second.settle)).toEqual(['second']);
    const stopped = first.system.stop();
    await first.settle();
    await stopped;
    second.system.send('a', 'still there');
    await second.settle();
    expect(await seen(second.system, 'a', second.settle)).toEqual(['second', 'still there']);
  });

  test('nact danger 19 (typings promise what is not there): nact and its types stay in one file, which uses four functions that exist', () => {
    const files = readdirSync(FOLDER).filter((name) => name.endsWith('.ts') && name !== 'nact-host.ts');
    const importing = files.filter((name) =>
      /from\s+'nact'|import\('nact'\)/.test(readFileSync(join(FOLDER, name), 'utf8')),
    );
    expect(importing).toEqual([]);
    const imported = /import \{([^}]*)\} from 'nact'/
      .exec(HOST_SOURCE)?.[1]
      ?.split(',')
      .map((name) => name.trim());
    expect(imported?.sort()).toEqual(['dispatch', 'spawn', 'start', 'stop', 'type Ref']);
    for (const used of [dispatch, spawn, start, stop]) expect(typeof used).toBe('function');
    expect(HOST_CODE).not.toMatch(/export .*\b(Ref|TurnRef)\b/);
  });

  test('nact danger 20 (random names, random ids, global timers): a system takes no random number and no timer but from its ports', async () => {
    const random = vi.spyOn(Math, 'random');
    const timeout = vi.spyOn(globalThis, 'setTimeout');
    const made = await puppets(['a', 'b']);
    made.system.cast('a', act({ type: 'run', name: 'job', work: (worker) => worker.call('b', 'pid') }));
    made.system.cast('a', act({ type: 'startTimer', name: 't', delayMs: 5 }));
    await made.settle(10);
    const added = made.system.call('top', startChild(puppetSpec('c', [])));
    await made.settle();
    await added;
    const stopped = made.system.stop();
    await made.settle();
    await stopped;
    expect(random).not.toHaveBeenCalled();
    expect(timeout).not.toHaveBeenCalled();
  });

  test('nact danger 21 (its persistence loses failures): it is not used', () => {
    expect(HOST_CODE).not.toMatch(/[pP]ersist/);
  });

  test('nact danger 22 (stop leaves asks and their timers behind): after stop nothing is left, and what had to be killed is named', async () => {
    const made = await puppets(['a', 'b']);
    made.system.cast(
      'a',
      act(
        { type: 'run', name: 'caller', work: (worker) => worker.call('b', 'ignore', Number.POSITIVE_INFINITY) },
        { type: 'run', name: 'sleeper', work: (worker) => worker.sleep(1_000_000) },
        { type: 'startTimer', name: 't', delayMs: 1_000_000 },
        { type: 'monitor', target: 'b', name: 'm' },
      ),
    );
    const calls = [1, 2, 3].map(() => rejection(made.system.call('b', 'ignore', 1_000_000)));
    await made.settle();
    const stopped = made.system.stop();
    await made.settle();
    expect(await stopped).toEqual({ leftovers: [] });
    for (const error of await Promise.all(calls)) expect((error as ExitError).reason).toBe('shutdown');
    expect(made.system.statistics()).toMatchObject({ processes: 0, callsPending: 0, timersPending: 0 });
    expect(made.clock.pending).toBe(0);
  });
});

/** As the operating system's timers: what is longer than 31 bits of milliseconds comes at once. */
class WrappingClock extends VirtualClock {
  override after(delayMs: number, run: () => void) {
    return super.after(delayMs > 2 ** 31 - 1 ? 1 : delayMs, run);
  }
}

function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*$/gm, '');
}
