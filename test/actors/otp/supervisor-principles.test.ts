/**
 * OTP's supervisor contract, claim by claim (stdlib, module supervisor, and its design principles), in our words.
 * Each test's title says the claim it holds.
 */
import { describe, expect, test } from 'vitest';
import { type ExitError, whichChildren } from '../../../actors/otp/index.ts';
import { dynamic, family, stuckHost } from './supervisor-support.ts';
import { act, crash, details, HOSTS, puppetSpec, type Rig, rejection, rig, top } from './support.ts';

describe('strategies', () => {
  test('one_for_one: when a child ends, only that child is started again', async () => {
    const made = await family('one_for_one', [['a'], ['b'], ['c']]);
    const before = made.serials('a', 'b', 'c');
    made.system.cast('b', crash());
    await made.settle();
    const after = made.serials('a', 'b', 'c');
    expect([after[0], after[2]]).toEqual([before[0], before[2]]);
    expect(after[1]).toBeGreaterThan(before[1]!);
  });

  test('one_for_all: when a child ends, all others are stopped, last started first, then all are started in order', async () => {
    const made = await family('one_for_all', [['a'], ['b'], ['c']]);
    made.system.cast('b', crash());
    await made.settle();
    expect(made.journal.slice(3)).toEqual([
      'terminate b error',
      'terminate c shutdown',
      'terminate a shutdown',
      'init a',
      'init b',
      'init c',
    ]);
  });

  test('rest_for_one: those started after the child are stopped in reverse order and started again with it, those before stay', async () => {
    const made = await family('rest_for_one', [['a'], ['b'], ['c'], ['d']]);
    const [a] = made.serials('a');
    made.system.cast('b', crash());
    await made.settle();
    expect(made.journal.slice(4)).toEqual([
      'terminate b error',
      'terminate d shutdown',
      'terminate c shutdown',
      'init b',
      'init c',
      'init d',
    ]);
    expect(made.serials('a')).toEqual([a]);
  });

  test('simple_one_for_one: no child is started with the supervisor, each is added with arguments of its own and ends alone', async () => {
    const { made, journal, add } = await dynamic();
    expect(journal).toEqual([]);
    const first = await add('first');
    const second = await add('second');
    expect(journal).toEqual(['init first', 'init second']);
    made.system.cast(first, crash());
    await made.settle();
    expect(journal.slice(2)).toEqual(['terminate first error', 'init first']);
    const rows = made.system.call('top', whichChildren());
    await made.settle();
    expect((await rows) as object[]).toHaveLength(2);
    expect(JSON.stringify(await rows)).toContain(second.text);
  });

  test('a temporary child stopped on behalf of a sibling is not started again', async () => {
    const made = await family('one_for_all', [['a'], ['b', { restart: 'temporary' }]]);
    made.system.cast('a', crash());
    await made.settle();
    expect(made.journal.slice(2)).toEqual(['terminate a error', 'terminate b shutdown', 'init a']);
    expect(made.serials('b')).toEqual([0]);
  });
});

describe('restart types', () => {
  const table: [restart: 'permanent' | 'transient' | 'temporary', how: string, again: boolean][] = [
    ['permanent', 'normal', true],
    ['permanent', 'shutdown', true],
    ['permanent', 'crash', true],
    ['permanent', 'kill', true],
    ['transient', 'normal', false],
    ['transient', 'shutdown', false],
    ['transient', 'shutdown with detail', false],
    ['transient', 'crash', true],
    ['transient', 'kill', true],
    ['temporary', 'normal', false],
    ['temporary', 'crash', false],
    ['temporary', 'kill', false],
  ];
  for (const [restart, how, again] of table) {
    test(`a ${restart} child that ends by ${how} is ${again ? '' : 'not '}started again`, async () => {
      const made = await family('one_for_one', [['a', { restart }]]);
      const [before] = made.serials('a');
      endBy(made, how);
      await made.settle();
      const [after] = made.serials('a');
      if (again) expect(after).toBeGreaterThan(before!);
      else expect(after).toBe(0);
    });
  }

  test('the specification of a temporary child goes with it, that of a transient one stays', async () => {
    const made = await family('one_for_one', [
      ['a', { restart: 'temporary' }],
      ['b', { restart: 'transient' }],
    ]);
    made.system.cast('a', act({ type: 'stop', reason: 'normal' }));
    made.system.cast('b', act({ type: 'stop', reason: 'normal' }));
    await made.settle();
    expect(made.system.tree()[0]?.children.map((child) => [child.id, child.pid])).toEqual([['b', 'undefined']]);
    const again = made.system.restartChild('top', 'b');
    await made.settle();
    expect((await again).text).toBe(made.system.whereis('b')?.text);
  });

  function endBy(made: Rig, how: string): void {
    if (how === 'crash') made.system.cast('a', crash());
    else if (how === 'kill') made.system.exit('a', 'kill');
    else if (how === 'normal' || how === 'shutdown') made.system.cast('a', act({ type: 'stop', reason: how }));
    else made.system.cast('a', act({ type: 'stop', reason: { type: 'shutdown', detail: 'done' } }));
  }
});

describe('restart intensity', () => {
  test('more than `intensity` restarts within the period: the supervisor stops all children and itself with reason shutdown', async () => {
    const made = await family('one_for_one', [['a'], ['b']], { intensity: 2, periodMs: 1000 });
    for (let index = 0; index < 2; index += 1) {
      made.system.cast('a', crash());
      await made.settle();
    }
    expect(made.serials('a', 'b')).not.toContain(0);
    made.system.cast('a', crash());
    await made.settle();
    expect(made.serials('a', 'b')).toEqual([0, 0]);
    expect(made.journal.at(-1)).toBe('terminate b shutdown');
    expect(made.fatal).toEqual(['shutdown']);
    expect(details(made.logs)).toContain('Too many restarts, supervisor gives up');
  });

  test('restarts that lie further back than the period do not count', async () => {
    const made = await family('one_for_one', [['a']], { intensity: 1, periodMs: 1000 });
    for (let index = 0; index < 5; index += 1) {
      made.system.cast('a', crash());
      await made.settle(1001);
    }
    expect(made.fatal).toEqual([]);
    expect(made.system.tree()[0]?.children[0]?.restarts).toBe(5);
  });

  test('the wall clock has no say in it: setting it back or forth changes nothing', async () => {
    const made = await family('one_for_one', [['a']], { intensity: 1, periodMs: 1000 });
    made.system.cast('a', crash());
    await made.settle();
    made.clock.jumpWall(3_600_000);
    made.system.cast('a', crash());
    await made.settle();
    expect(made.fatal).toEqual(['shutdown']);
  });

  test('intensity 0: the first restart is one too many', async () => {
    const made = await family('one_for_one', [['a']], { intensity: 0 });
    made.system.cast('a', crash());
    await made.settle();
    expect(made.journal).toEqual(['init a', 'terminate a error']);
    expect(made.fatal).toEqual(['shutdown']);
  });

  test('when not given, it is one restart in five seconds', async () => {
    const made = await family('one_for_one', [['a']], { intensity: undefined, periodMs: undefined });
    made.system.cast('a', crash());
    await made.settle(4999);
    expect(made.fatal).toEqual([]);
    made.system.cast('a', crash());
    await made.settle();
    expect(made.fatal).toEqual(['shutdown']);
  });

  test('a supervisor that gives up is restarted by its own supervisor, children and all', async () => {
    const journal: string[] = [];
    const made = rig();
    const inner = { ...top([puppetSpec('a', journal)], { intensity: 0 }), id: 'inner', register: 'inner' };
    await made.system.start(top([inner]));
    const before = made.system.whereis('inner');
    made.system.cast('a', crash());
    await made.settle();
    expect(made.system.whereis('inner')?.serial).toBeGreaterThan(before!.serial);
    expect(journal).toEqual(['init a', 'terminate a error', 'init a']);
    expect(made.fatal).toEqual([]);
  });

  test('a transient supervisor that gives up is not restarted: shutdown is an orderly end', async () => {
    const made = rig();
    const inner = {
      ...top([puppetSpec('a', [])], { intensity: 0 }),
      id: 'inner',
      restart: 'transient' as const,
      register: 'inner',
    };
    await made.system.start(top([inner]));
    made.system.cast('a', crash());
    await made.settle();
    expect(made.system.whereis('inner')).toBeUndefined();
    expect(made.fatal).toEqual([]);
  });
});

describe('start', () => {
  test('children are started in the order they are listed, each before the next', async () => {
    const made = await family('one_for_one', [['a'], ['b'], ['c']]);
    expect(made.journal).toEqual(['init a', 'init b', 'init c']);
    expect(made.serials('a', 'b', 'c')).toEqual([2, 3, 4]);
  });

  test('when a child cannot start, those before it are stopped in reverse order, those after it are not started, and the start fails with the reason', async () => {
    const journal: string[] = [];
    const made = rig();
    const start = rejection(
      made.system.start(
        top([
          puppetSpec('a', journal),
          puppetSpec('b', journal),
          puppetSpec('c', journal, { onInit: failInit }),
          puppetSpec('d', journal),
        ]),
      ),
    );
    await made.settle();
    const error = (await start) as ExitError;
    expect(error.message).toContain('child "c" failed to start: Error: no licence');
    expect(error.reason).toMatchObject({ type: 'shutdown', detail: { failedToStartChild: 'c' } });
    expect(journal).toEqual(['init a', 'init b', 'init c', 'terminate b shutdown', 'terminate a shutdown']);
    expect(made.system.statistics().processes).toBe(0);
    expect(made.fatal).toEqual([]);
  });

  test('the failure of a child two levels down stops the whole tree from the inside out', async () => {
    const journal: string[] = [];
    const made = rig();
    const inner = {
      ...top([puppetSpec('b', journal), puppetSpec('c', journal, { onInit: failInit })]),
      id: 'inner',
      register: 'inner',
    };
    const start = rejection(made.system.start(top([puppetSpec('a', journal), inner])));
    await made.settle();
    expect(((await start) as ExitError).message).toContain('child "inner" failed to start');
    expect(journal).toEqual(['init a', 'init b', 'init c', 'terminate b shutdown', 'terminate a shutdown']);
    expect(made.system.statistics()).toMatchObject({ processes: 0, timersPending: 0 });
  });

  test('stop asked for in init is a failed start', async () => {
    const made = rig();
    const start = rejection(
      made.system.start(top([puppetSpec('a', [], { onInit: () => [{ type: 'stop', reason: 'normal' }] })])),
    );
    await made.settle();
    expect(((await start) as ExitError).reason).toMatchObject({ detail: { reason: 'normal' } });
  });

  test('a registered name that is taken is a failed start, and its holder keeps it', async () => {
    const journal: string[] = [];
    const made = rig();
    const start = rejection(
      made.system.start(top([puppetSpec('a', journal), puppetSpec('b', journal, { register: 'a' })])),
    );
    await made.settle();
    expect(((await start) as ExitError).message).toContain('belongs to process <0.2.0> already');
    expect(journal).toEqual(['init a', 'terminate a shutdown']);
  });

  test('a restart that fails is tried again and counts each time, until the intensity is reached', async () => {
    const journal: string[] = [];
    const made = rig();
    let broken = false;
    const onInit = () => (broken ? failInit() : undefined);
    await made.system.start(top([puppetSpec('a', journal, { onInit }), puppetSpec('b', journal)], { intensity: 3 }));
    broken = true;
    made.system.cast('a', crash());
    await made.settle();
    expect(journal).toEqual([
      'init a',
      'init b',
      'terminate a error',
      'init a',
      'init a',
      'init a',
      'terminate b shutdown',
    ]);
    expect(made.fatal).toEqual(['shutdown']);
  });

  test('a restart that fails once and then succeeds goes on', async () => {
    const journal: string[] = [];
    const made = rig();
    let failures = 0;
    const onInit = () => (failures-- > 0 ? failInit() : undefined);
    await made.system.start(
      top([puppetSpec('a', journal, { onInit }), puppetSpec('b', journal)], { strategy: 'one_for_all' }),
    );
    failures = 2;
    made.system.cast('b', crash());
    await made.settle();
    expect(made.system.whereis('a')).toBeDefined();
    expect(made.system.whereis('b')).toBeDefined();
    expect(made.fatal).toEqual([]);
    expect(made.system.statistics().processes).toBe(3);
  });

  function failInit(): never {
    throw new Error('no licence');
  }
});

describe('shutdown', () => {
  for (const [name, host] of HOSTS) {
    test(`a child that does not stop within its time is killed and named, the others stop in order (${name})`, async () => {
      const journal: string[] = [];
      const wedged = stuckHost(host);
      const made = rig({ host: wedged.host });
      await made.system.start(
        top([puppetSpec('a', journal), puppetSpec('b', journal, { shutdown: 300 }), puppetSpec('c', journal)]),
      );
      wedged.hold(made.system.whereis('b')!);
      const stopped = made.system.stop();
      await made.settle(299);
      expect(made.system.whereis('b')).toBeDefined();
      expect(made.system.whereis('a')).toBeDefined();
      await made.settle(1);
      expect(await stopped).toEqual({ leftovers: ['b <0.3.0>'] });
      expect(journal.slice(3)).toEqual(['terminate c shutdown', 'terminate a shutdown']);
      expect(made.clock.pending).toBe(0);
    });
  }

  test('a worker that names no time has five seconds, a supervisor has no limit', async () => {
    const journal: string[] = [];
    const wedged = stuckHost(HOSTS[1]![1]);
    const made = rig({ host: wedged.host });
    const inner = { ...top([puppetSpec('a', journal)]), id: 'inner', register: 'inner' };
    await made.system.start(top([inner]));
    wedged.hold(made.system.whereis('a')!);
    const stopped = made.system.stop();
    await made.settle(4999);
    expect(made.system.whereis('inner')).toBeDefined();
    await made.settle(1);
    expect(await stopped).toEqual({ leftovers: ['a <0.3.0>'] });
  });

  test('infinity waits as long as it takes', async () => {
    const wedged = stuckHost(HOSTS[1]![1]);
    const made = rig({ host: wedged.host });
    await made.system.start(top([puppetSpec('a', [], { shutdown: 'infinity' })]));
    const pid = made.system.whereis('a')!;
    wedged.hold(pid);
    const stopped = made.system.stop();
    await made.settle(24 * 3_600_000);
    expect(made.system.whereis('a')).toEqual(pid);
    wedged.release(pid);
    await made.settle();
    expect(await stopped).toEqual({ leftovers: [] });
  });

  test('brutal_kill ends a child without terminate, and it is no leftover', async () => {
    const made = await family('one_for_one', [['a'], ['b', { shutdown: 'brutal_kill' }], ['c']]);
    const stopped = made.system.stop();
    await made.settle();
    expect(made.journal.slice(3)).toEqual(['terminate c shutdown', 'terminate a shutdown']);
    expect(await stopped).toEqual({ leftovers: [] });
  });

  test('children of one pattern stop at the same time: one that hangs does not keep the others waiting', async () => {
    const { made, journal, add, wedged } = await dynamic();
    const pids = [await add('x'), await add('y'), await add('z')];
    wedged.hold(pids[2]!);
    const stopped = made.system.stop();
    await made.settle();
    expect(journal.slice(3).sort()).toEqual(['terminate x shutdown', 'terminate y shutdown']);
    await made.settle(5000);
    expect((await stopped).leftovers).toEqual(['pattern <0.4.0>']);
  });

  test('a crash that happens while siblings are being stopped is dealt with once, afterwards', async () => {
    const journal: string[] = [];
    const made = rig();
    const onTerminate = () => made.system.cast('a', crash('second'));
    await made.system.start(
      top([puppetSpec('a', journal), puppetSpec('b', journal), puppetSpec('c', journal, { onTerminate })], {
        strategy: 'rest_for_one',
      }),
    );
    made.system.cast('b', crash('first'));
    await made.settle();
    expect(journal.slice(3)).toEqual([
      'terminate b error',
      'terminate c shutdown',
      'terminate a error',
      'init b',
      'init c',
      'terminate c shutdown',
      'terminate b shutdown',
      'init a',
      'init b',
      'init c',
    ]);
  });

  test('while it waits for a child to stop, a supervisor keeps crashes and requests for afterwards, crashes first', async () => {
    const journal: string[] = [];
    const wedged = stuckHost(HOSTS[1]![1]);
    const made = rig({ host: wedged.host });
    const specs = ['a', 'b'].map((name) => puppetSpec(name, journal));
    await made.system.start(top([...specs, puppetSpec('c', journal, { shutdown: 300 })]));
    wedged.hold(made.system.whereis('c')!);
    const terminated = made.system.terminateChild('top', 'c');
    await made.settle();
    made.system.cast('a', crash());
    const added = made.system.startChild('top', puppetSpec('d', journal));
    await made.settle(299);
    expect(journal).toEqual(['init a', 'init b', 'init c', 'terminate a error']);
    await made.settle(1);
    await terminated;
    await added;
    expect(journal.slice(4)).toEqual(['init a', 'init d']);
  });

  test('a supervisor that is killed takes its children with it before its parent starts successors', async () => {
    const journal: string[] = [];
    const made = rig();
    const inner = { ...top([puppetSpec('a', journal), puppetSpec('b', journal)]), id: 'inner', register: 'inner' };
    await made.system.start(top([inner], { intensity: 1 }));
    made.system.exit('inner', 'kill');
    await made.settle();
    expect(journal).toEqual(['init a', 'init b', 'init a', 'init b']);
    expect(made.system.statistics().processes).toBe(4);
    expect(made.fatal).toEqual([]);
  });

  test('a supervisor traps exits: a signal of somebody other than its parent changes nothing', async () => {
    const made = rig();
    const inner = { ...top([puppetSpec('a', [])]), id: 'inner', register: 'inner' };
    await made.system.start(top([inner]));
    const before = made.system.whereis('inner');
    made.system.exit('inner', 'shutdown');
    await made.settle();
    expect(made.system.whereis('inner')).toEqual(before);
  });
});
