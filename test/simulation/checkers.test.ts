/** Every checker catches the history that was made for it, and lets the good one beside it pass. */
import { describe, expect, it } from 'vitest';
import { checkHistory, DIED } from '../../src/simulation/checkers.ts';
import type { TablePlan } from '../../src/simulation/history.ts';
import { HistoryBuilder, planOf, read, remove, write } from './history-builder.ts';

function verdict(builder: HistoryBuilder): string[] {
  return checkHistory(builder.history).violations.map((violation) => `${violation.checker}: ${violation.text}`);
}

function checkersOf(builder: HistoryBuilder): string[] {
  return [...new Set(checkHistory(builder.history).violations.map((violation) => violation.checker))];
}

describe('nothing acknowledged missing', () => {
  const twoWrites = () =>
    new HistoryBuilder()
      .ask({ from: 1, to: 2, steps: [write('registers', 'a', '0.1')] })
      .ask({ from: 3, to: 4, steps: [write('registers', 'a', '1.1')] })
      .changed('registers', 'a', '0.1', { at: 2, hlc: 10 });

  it('lets a write pass that was overwritten by one that had seen it', () => {
    const builder = twoWrites().changed('registers', 'a', '1.1', { at: 4, hlc: 20, before: '0.1' });
    expect(verdict(builder.ends('registers', { a: { by: '1.1' } }))).toEqual([]);
  });

  it('catches a lost acknowledgement: the row is simply not there', () => {
    const builder = new HistoryBuilder()
      .ask({ from: 1, to: 2, steps: [write('registers', 'a', '0.1')] })
      .changed('registers', 'a', '0.1', { at: 2, hlc: 10 });
    expect(verdict(builder).join()).toContain('the write 0.1 of registers/a');
  });

  it('catches a write that was never applied anywhere', () => {
    const builder = new HistoryBuilder().ask({ from: 1, to: 2, steps: [write('registers', 'a', '0.1')] });
    expect(checkersOf(builder)).toContain('nothing acknowledged missing');
  });

  it('catches a version that a merge let win without the loser in the ledger', () => {
    const builder = twoWrites()
      .changed('registers', 'a', '1.1', { at: 4, hlc: 20, node: 1 })
      .changed('registers', 'a', '1.1', { at: 9, hlc: 20, node: 0, before: '0.1', origin: 'merge' });
    expect(verdict(builder.ends('registers', { a: { by: '1.1' } })).join()).toContain('the ledger has no entry');
  });

  it('lets the same merge pass when the loser is in the ledger', () => {
    const builder = twoWrites()
      .changed('registers', 'a', '1.1', { at: 4, hlc: 20, node: 1 })
      .changed('registers', 'a', '1.1', { at: 9, hlc: 20, node: 0, before: '0.1', origin: 'merge' })
      .ends('registers', { a: { by: '1.1' } })
      .ledger({
        table: 'registers',
        key: 'a',
        winner: { version: { hlc: 20, node: 'n1' }, value: { by: '1.1' }, deleted: false },
        loser: { version: { hlc: 10, node: 'n0' }, value: { by: '0.1' }, deleted: false },
      });
    expect(verdict(builder)).toEqual([]);
  });

  it.each(['local', 'remote'] as const)('goes on behind a loser that was put back to both its times: %s', (origin) => {
    const loser = { version: { hlc: 20, node: 'n0' }, value: { by: '1.1' }, deleted: false };
    const builder = twoWrites()
      .changed('registers', 'a', '1.1', {
        at: 4,
        hlc: 20,
        before: '0.1',
        origin: origin === 'local' ? 'remote' : 'local',
      })
      .changed('registers', 'a', '2.1', { at: 5, hlc: 30, node: 1, origin: 'remote' })
      .ask({ node: 1, from: 4, to: 5, steps: [write('registers', 'a', '2.1')] })
      .changed('registers', 'a', '3.1', { at: 7, hlc: 35, before: '2.1' })
      .ask({ from: 6, to: 7, steps: [write('registers', 'a', '3.1')] })
      .changed('registers', 'a', '1.1', { at: 9, hlc: 40, before: '3.1', origin })
      .ends('registers', { a: { by: '1.1' } })
      .ledger({
        table: 'registers',
        key: 'a',
        winner: { version: { hlc: 30, node: 'n1' }, value: { by: '2.1' }, deleted: false },
        loser,
      });
    builder.history.split = true;
    expect(verdict(builder)).toEqual([]);
  });

  it('counts what a loser of the ledger had overwritten itself as accounted for', () => {
    const builder = twoWrites()
      .changed('registers', 'a', '1.1', { at: 4, hlc: 20, before: '0.1' })
      .changed('registers', 'a', '2.1', { at: 5, hlc: 30, node: 1 })
      .ask({ node: 1, from: 4, to: 5, steps: [write('registers', 'a', '2.1')] })
      .ends('registers', { a: { by: '2.1' } })
      .ledger({
        table: 'registers',
        key: 'a',
        winner: { version: { hlc: 30, node: 'n1' }, value: { by: '2.1' }, deleted: false },
        loser: { version: { hlc: 20, node: 'n0' }, value: { by: '1.1' }, deleted: false },
      });
    expect(verdict(builder)).toEqual([]);
  });

  const deleted = () =>
    new HistoryBuilder()
      .ask({ from: 1, to: 2, steps: [write('registers', 'a', '0.1')] })
      .ask({
        kind: 'register-delete',
        from: 3,
        to: 4,
        steps: [read('registers', 'a', { by: '0.1' }), remove('registers', 'a')],
      })
      .changed('registers', 'a', '0.1', { at: 2, hlc: 10 })
      .changed('registers', 'a', 'delete', { at: 4, hlc: 20, before: '0.1' });

  it('lets a delete pass that stays', () => {
    expect(verdict(deleted())).toEqual([]);
  });

  it('catches a resurrected delete', () => {
    const builder = deleted().ends('registers', { a: { by: '0.1' } });
    expect(verdict(builder).join()).toContain('a delete of registers/a');
  });

  it('lets a deleted row come again by a later write', () => {
    const builder = deleted()
      .ask({ from: 5, to: 6, steps: [write('registers', 'a', '2.1')] })
      .changed('registers', 'a', '2.1', { at: 6, hlc: 30, before: 'deleted@20/n0' })
      .ends('registers', { a: { by: '2.1' } });
    expect(verdict(builder)).toEqual([]);
  });

  it('finds a delete again in the one that a merge made of two alike, and not in one that came before it', () => {
    const overwritten = (before: string) =>
      deleted()
        .ask({ from: 5, to: 6, steps: [write('registers', 'a', '2.1')] })
        .changed('registers', 'a', '2.1', { at: 6, hlc: 30, before })
        .ends('registers', { a: { by: '2.1' } });
    expect(verdict(overwritten('deleted@25/n1'))).toEqual([]);
    expect(verdict(overwritten('deleted@15/n1')).join()).toContain('a delete of registers/a');
  });

  it('leaves out tables whose last copy in memory went with its node, and counts them', () => {
    const builder = new HistoryBuilder().ask({ from: 1, to: 2, steps: [write('registers', 'a', '0.1')] });
    builder.history.mayLose.add('registers');
    const result = checkHistory(builder.history);
    expect(result.violations).toEqual([]);
    expect(
      result.checked['nothing acknowledged missing: acknowledged writes not checked: last copy in memory gone'],
    ).toBe(1);
  });
});

describe('nothing of failures', () => {
  it('catches a dirty read: a value of a transaction that failed', () => {
    const builder = new HistoryBuilder()
      .ask({ from: 1, to: 4, outcome: 'fail', steps: [write('registers', 'a', '0.1')] })
      .ask({ kind: 'register-read', from: 2, to: 3, steps: [read('registers', 'a', { by: '0.1' })] });
    expect(verdict(builder).join()).toContain('shows 0.1');
  });

  it('catches a write of an attempt that was given up', () => {
    const builder = new HistoryBuilder()
      .ask({ from: 1, to: 4, attempts: 2, steps: [write('registers', 'a', '0.2')] })
      .changed('registers', 'a', '0.1', { at: 2, hlc: 10 })
      .changed('registers', 'a', '0.2', { at: 4, hlc: 20, before: '0.1' })
      .ends('registers', { a: { by: '0.2' } });
    expect(verdict(builder).join()).toContain('had given up attempt 1');
  });

  it('lets an uncertain transaction be either', () => {
    const builder = new HistoryBuilder()
      .ask({ from: 1, outcome: 'info', steps: [write('registers', 'a', '0.1')] })
      .ask({ from: 1, outcome: 'info', steps: [write('registers', 'b', '1.1')] })
      .changed('registers', 'a', '0.1', { at: 2, hlc: 10 })
      .ends('registers', { a: { by: '0.1' } });
    expect(verdict(builder)).toEqual([]);
  });

  it.each([
    ['info', DIED, 'had given up attempt 1'],
    ['fail', 'deadline', 'had failed with deadline'],
  ] as const)(
    'lets an attempt stand where its refusal was in memory and ended with those who knew, not two: %s',
    (outcome, error, why) => {
      const steps = [write('registers_majority', 'a', '0.2')];
      const builder = new HistoryBuilder(['registers_majority'])
        .ask({ from: 1, to: 9, outcome, error, attempts: 2, steps })
        .changed('registers_majority', 'a', '0.1', { at: 10, hlc: 10 })
        .ends('registers_majority', { a: { by: '0.1' } });
      expect(verdict(builder).join()).toContain(why);
      builder.history.mayLose.add('registers_majority');
      expect(verdict(builder)).toEqual([]);
      const twice = builder.changed('registers_majority', 'a', '0.2', { at: 20, hlc: 20, before: '0.1' });
      expect(verdict(twice)).toHaveLength(1);
    },
  );

  it.each(['registers_majority', 'registers'])(
    'lets one attempt stand of a transaction whose outcome nobody knows, and not two: %s',
    (table) => {
      const asked = (error?: string): HistoryBuilder => {
        const builder = new HistoryBuilder([table]);
        return builder
          .ask({ from: 1, to: 9, outcome: 'info', error, attempts: 3, steps: [write(table, 'a', '0.3')] })
          .changed(table, 'a', '0.1', { at: 2, hlc: 10 })
          .ends(table, { a: { by: '0.1' } });
      };
      expect(verdict(asked('table_not_loaded'))).toEqual([]);
      expect(verdict(asked(DIED)).join()).toContain('had given up attempt 1');
      const twice = asked('table_not_loaded').changed(table, 'a', '0.2', { at: 4, hlc: 20, before: '0.1' });
      expect(verdict(twice).join()).toContain('shows 0.2, and attempt 1 of #0');
    },
  );
});

describe('replicas equal', () => {
  it('catches an unequal replica', () => {
    const builder = new HistoryBuilder().ends('registers', { a: { by: '9.1' } }, 1);
    expect(verdict(builder).join()).toContain('registers: 1 rows differ between peer1 and peer2');
  });

  it('catches equal rows under different versions by their digests', () => {
    const builder = new HistoryBuilder();
    const state = builder.history.final[1]?.tables.get('registers');
    builder.edit(1, { tables: new Map([['registers', { ...(state as NonNullable<typeof state>), digest: 'other' }]]) });
    expect(verdict(builder).join()).toContain('digests are not');
  });

  it('catches a table that is not loaded', () => {
    const builder = new HistoryBuilder();
    builder.edit(1, { tables: new Map([['registers', { loaded: false, digest: '{}', rows: new Map() }]]) });
    expect(verdict(builder).join()).toContain('not loaded on peer2');
  });

  it('catches a disc that comes back with something else', () => {
    const builder = new HistoryBuilder().ends('registers', { a: { by: '9.1' } });
    builder.history.afterRestart = new HistoryBuilder().history.final;
    expect(checkersOf(builder)).toEqual(['same after restart']);
  });
});

describe('pairs whole', () => {
  it('catches a half-applied pair at the end', () => {
    const builder = new HistoryBuilder(['pairs']).ends('pairs', { 'k/left': { by: '1.1' }, 'k/right': { by: '2.1' } });
    expect(verdict(builder).join()).toContain('peer1 ends with pairs/k/left by 1.1 and k/right by 2.1');
  });

  it('catches a reader that saw half of a transaction', () => {
    const builder = new HistoryBuilder(['pairs']).ask({
      kind: 'pair-read',
      from: 1,
      to: 2,
      steps: [read('pairs', 'k/left', { by: '7.1' }), read('pairs', 'k/right', undefined)],
    });
    expect(verdict(builder).join()).toContain('read 7.1 in one half and undefined in the other');
  });

  it('lets whole pairs pass', () => {
    const builder = new HistoryBuilder(['pairs']).ends('pairs', { 'k/left': { by: '1.1' }, 'k/right': { by: '1.1' } });
    expect(verdict(builder)).toEqual([]);
  });
});

describe('bank sum and counters', () => {
  it('catches money that was made', () => {
    const builder = new HistoryBuilder(['bank']).ends('bank', {
      account0: { by: '0.1', balance: 150 },
      account1: { by: '0.1', balance: 60 },
    });
    expect(verdict(builder).join()).toContain('the sum is 210, not 200');
  });

  it('counts accounts nobody has touched at their opening balance', () => {
    const builder = new HistoryBuilder(['bank']).ask({
      kind: 'bank-read',
      from: 1,
      to: 2,
      steps: [{ type: 'scan', table: 'bank', rows: [['account0', { by: '0.1', balance: 100 }]] }],
    });
    expect(verdict(builder)).toEqual([]);
  });

  it('does not ask for a sum across a split, but does of a majority table', () => {
    const rows = { account0: { by: '0.1', balance: 1 }, account1: { by: '0.1', balance: 1 } };
    const split = (table: string) => {
      const builder = new HistoryBuilder([table]).ends(table, rows);
      builder.history.split = true;
      return builder;
    };
    expect(checkersOf(split('bank'))).toEqual([]);
    expect(checkersOf(split('bank_majority'))).toEqual(['bank sum']);
  });

  it('catches a step of a counter that was lost', () => {
    const step = (by: string, seen: number) => [
      read('counters', 'c', { by: '', count: seen }),
      write('counters', 'c', by, { count: seen + 1 }),
    ];
    const builder = new HistoryBuilder(['counters'])
      .ask({ kind: 'counter', from: 1, to: 2, steps: step('0.1', 0) })
      .ask({ kind: 'counter', from: 1, to: 2, steps: step('1.1', 0) })
      .changed('counters', 'c', '0.1', { at: 2, hlc: 1 })
      .changed('counters', 'c', '1.1', { at: 2, hlc: 2, before: '0.1' })
      .ends('counters', { c: { by: '1.1', count: 1 } });
    expect(verdict(builder).join()).toContain('counters/c is 1; 2 steps were acknowledged');
  });

  it('catches two owners of one place: a phantom', () => {
    const builder = new HistoryBuilder(['claims']).ends('claims', { '3:10': { by: '10.1' }, '3:11': { by: '11.1' } });
    expect(verdict(builder).join()).toContain('place 3 was taken more than once');
  });
});

describe('ledger restores', () => {
  const entry = {
    id: '1-1',
    table: 'registers',
    key: 'a',
    rule: 'last_write',
    at: '2026-01-01T00:00:00.000Z',
    winner: { version: { hlc: 20, node: 'n1' }, value: { by: '1.1' }, deleted: false },
    loser: { version: { hlc: 10, node: 'n0' }, value: { by: '0.1' }, deleted: false },
    islands: [],
    restored: true,
    accepted: false,
  };

  it('lets a restored loser pass that is on every node', () => {
    const builder = new HistoryBuilder().ends('registers', { a: { by: '0.1' } }).ledger(entry);
    builder.history.restored = entry;
    builder.history.final = builder.history.final.map((node) => ({ ...node, ledger: [entry] }));
    expect(verdict(builder)).toEqual([]);
  });

  it('catches a loser that did not come back, and an entry that does not say so', () => {
    const builder = new HistoryBuilder().ends('registers', { a: { by: '1.1' } }).ledger(entry);
    builder.history.restored = entry;
    builder.history.final = builder.history.final.map((node) => ({ ...node, ledger: [{ ...entry, restored: false }] }));
    const texts = verdict(builder).join();
    expect(texts).toContain('registers/a on peer1 is {by: 1.1}, not {by: 0.1}');
    expect(texts).toContain('peer2 does not show 1-1 as restored');
  });
});

describe('local content kept', () => {
  const local = () => {
    const builder = new HistoryBuilder([]);
    (builder.history.tables as TablePlan[]).push({ ...planOf('local', 2), localContent: true });
    return builder
      .ask({ kind: 'local-write', from: 1, to: 2, steps: [write('local', 'a', '0.1')] })
      .ask({ kind: 'local-write', from: 3, to: 4, steps: [write('local', 'a', '1.1')] })
      .ask({ kind: 'local-write', node: 1, from: 3, to: 4, steps: [write('local', 'a', '2.1')] });
  };

  it('lets each node keep its own', () => {
    const builder = local()
      .ends('local', { a: { by: '1.1' } }, 0)
      .ends('local', { a: { by: '2.1' } }, 1);
    expect(verdict(builder)).toEqual([]);
  });

  it('catches content that came from another node, and content that went back in time', () => {
    const texts = verdict(local().ends('local', { a: { by: '0.1' } })).join();
    expect(texts).toContain('peer1 holds local/a by 0.1; #1 local-write');
    expect(texts).toContain('peer2 holds local/a by 0.1, which none of its own clients wrote');
  });
});

describe('nothing left behind', () => {
  it('catches a leaked lock, a waiter, a prepared transaction and timers without end', () => {
    const builder = new HistoryBuilder().edit(0, { heldLocks: 1, lockQueue: 2, transactions: 3, pendingTimers: 1000 });
    const [text] = verdict(builder);
    expect(text).toContain('1 locks held, 2 waiting for locks, 3 transactions, 1000 timers');
  });

  it('catches what is remembered for others when nobody lacks anything: memory is bounded by what is under way', () => {
    const builder = new HistoryBuilder().edit(0, { recentCommits: 4, owedRows: 7 });
    const [text] = verdict(builder);
    expect(text).toContain('4 commits remembered that are everywhere, 7 rows remembered for nodes that have them');
  });

  it('catches what lies on a disc for nodes that have it, or for nobody, and votes for what has ended', () => {
    const remains = { tombstones: ['registers/k1'], owed: ['peer2 registers/k0'], promises: ['made peer2'] };
    const builder = new HistoryBuilder().edit(0, { remains });
    expect(verdict(builder)[0]).toContain('1 keys on its disc for nodes that have them ([peer2 registers/k0])');
    expect(verdict(builder)[0]).toContain('1 deletes on its disc that all know ([registers/k1])');
    expect(verdict(builder)[0]).toContain('1 votes on its disc for what has ended ([made peer2])');
  });

  it('catches an operation that was never answered', () => {
    const builder = new HistoryBuilder().ask({ from: 1, outcome: 'pending', steps: [] });
    expect(verdict(builder).join()).toContain('was never answered');
  });
});
