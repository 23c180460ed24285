/** What a running supervisor can be asked for, and what a specification must not say. */
import { describe, expect, test } from 'vitest';
import { type ChildCount, countChildren, worker } from '../../../actors/otp/index.ts';
import { dynamic, family } from './supervisor-support.ts';
import { act, puppet, puppetSpec, rejection, rig, top } from './support.ts';

describe('children of a running supervisor', () => {
  test('startChild adds a child at the end of the order; its id must be new', async () => {
    const made = await family('one_for_one', [['a']]);
    const added = made.system.startChild('top', puppetSpec('b', made.journal));
    await made.settle();
    expect((await added).text).toBe(made.system.whereis('b')?.text);
    const twice = rejection(made.system.startChild('top', puppetSpec('b', made.journal)));
    await made.settle();
    expect(((await twice) as Error).message).toContain('has a child "b" already');
    const stopped = made.system.stop();
    await made.settle();
    await stopped;
    expect(made.journal.slice(2)).toEqual(['terminate b shutdown', 'terminate a shutdown']);
  });

  test('a child that cannot start is not kept, and who asked is told why', async () => {
    const made = await family('one_for_one', [['a']]);
    const spec = puppetSpec('b', made.journal, {
      onInit: () => {
        throw new Error('bad luck');
      },
    });
    const failed = rejection(made.system.startChild('top', spec));
    await made.settle();
    expect(((await failed) as Error).message).toContain('bad luck');
    expect(made.system.tree()[0]?.children.map((child) => child.id)).toEqual(['a']);
  });

  test('terminateChild stops a child for good, restartChild starts it, deleteChild forgets it when it is stopped', async () => {
    const made = await family('one_for_one', [['a'], ['b']]);
    const settled = async <T>(promise: Promise<T>): Promise<T> => {
      const outcome = promise.catch((error: unknown) => error as T);
      await made.settle();
      return outcome;
    };
    expect(String(await settled(made.system.deleteChild('top', 'a')))).toContain('is running');
    await settled(made.system.terminateChild('top', 'a'));
    await made.settle(60_000);
    expect(made.serials('a')).toEqual([0]);
    await settled(made.system.restartChild('top', 'a'));
    expect(made.serials('a')).not.toEqual([0]);
    expect(String(await settled(made.system.restartChild('top', 'a')))).toContain('is running');
    await settled(made.system.terminateChild('top', 'a'));
    await settled(made.system.deleteChild('top', 'a'));
    expect(String(await settled(made.system.restartChild('top', 'a')))).toContain('no child "a"');
    const count = made.system.call('top', countChildren());
    await made.settle();
    expect((await count) as ChildCount).toEqual({ specs: 1, active: 1, supervisors: 0, workers: 1 });
  });

  test('a child of a pattern is terminated by its pid and leaves nothing behind', async () => {
    const { made, journal, add } = await dynamic();
    const pid = await add('x');
    const byName = rejection(made.system.terminateChild('top', 'pattern'));
    await made.settle();
    expect(((await byName) as Error).message).toContain('by its pid');
    const done = made.system.terminateChild('top', pid);
    await made.settle();
    await done;
    expect(journal).toEqual(['init x', 'terminate x shutdown']);
    expect(made.system.tree()[0]?.children).toEqual([]);
  });

  test('a worker process may ask a supervisor, other messages are refused', async () => {
    const made = await family('one_for_one', [['a']]);
    made.system.cast('a', act({ type: 'run', name: 'ask', work: (w) => w.call('top', countChildren()) }));
    const refused = rejection(made.system.call('top', 'hello'));
    made.system.send('top', 'hello');
    await made.settle();
    expect(((await refused) as Error).message).toContain('A supervisor understands');
    const answer = made.system.call('a', 'seen');
    await made.settle();
    expect(await answer).toMatchObject([{ type: 'worker', ok: true, value: { active: 1 } }]);
    expect(made.system.statistics().deadLetters.not_understood).toBe(1);
  });
});

describe('specifications', () => {
  const journal: string[] = [];
  const a = puppetSpec('a', journal);
  const bad: [string, object, string][] = [
    ['two children of one id', top([a, a]), 'two children have the id "a"'],
    ['an unknown strategy', { ...top([a]), strategy: 'all_for_one' }, 'strategy "all_for_one" is unknown'],
    ['an unknown restart type', top([{ ...a, restart: 'always' as never }]), 'restart "always" is unknown'],
    ['a shutdown that is no time', top([{ ...a, shutdown: -1 }]), 'shutdown -1 is unknown'],
    [
      'a module without handleInfo',
      top([{ ...a, module: { ...puppet, handleInfo: undefined } as never }]),
      'lacks handleInfo',
    ],
    ['an intensity below zero', { ...top([a]), intensity: -1 }, 'intensity -1'],
    ['a period of no time', { ...top([a]), periodMs: 0 }, 'periodMs 0'],
    ['a mailbox of half a message', top([{ ...a, mailboxMax: 0.5 }]), 'mailboxMax 0.5'],
    [
      'a pattern of two children',
      top([a, puppetSpec('b', journal)], { strategy: 'simple_one_for_one' }),
      'exactly one child',
    ],
    ['an empty id', top([{ ...a, id: '' }]), '1 to 255 characters'],
    ['a worker at the top', a, 'Only supervisors start at the top'],
  ];
  for (const [what, spec, message] of bad) {
    test(`${what} is refused before anything is started`, async () => {
      const made = rig();
      expect(String(await rejection(made.system.start(spec as never)))).toContain(message);
      expect(made.system.statistics().spawned).toBe(0);
    });
  }

  test('a typed module fits into a specification without a cast, and `worker` checks its arguments', () => {
    const typed = { id: 'a', module: puppet, args: { name: 'a', journal } };
    expect(top([typed]).children).toEqual([typed]);
    expect(worker({ id: 'a', module: puppet, args: { name: 'a', journal } }).id).toBe('a');
    // @ts-expect-error: the arguments lack a journal
    worker({ id: 'a', module: puppet, args: { name: 'a' } });
  });
});

/** A host that can withhold a process's turns, as a wedged scheduler would. */
