/** The checkers of strict serializability catch the histories that were made for them, and let the good ones pass. */
import { describe, expect, it } from 'vitest';
import { checkHistory } from '../../src/simulation/checkers.ts';
import type { Step } from '../../src/simulation/history.ts';
import { append, HistoryBuilder, list, read, write } from './history-builder.ts';

function verdict(builder: HistoryBuilder): string[] {
  return checkHistory(builder.history).violations.map((violation) => `${violation.checker}: ${violation.text}`);
}

function checkersOf(builder: HistoryBuilder): string[] {
  return [...new Set(checkHistory(builder.history).violations.map((violation) => violation.checker))];
}

describe('lists strictly serializable', () => {
  const lists = () => new HistoryBuilder(['lists', 'lists_majority']);
  const final = (builder: HistoryBuilder, rows: Record<string, string[]>) =>
    builder.ends('lists', Object.fromEntries(Object.entries(rows).map(([key, elements]) => [key, list(...elements)])));
  const anomalies = (builder: HistoryBuilder): string =>
    verdict(builder)
      .filter((text) => text.startsWith('lists strictly serializable'))
      .join();

  it('lets a serial history pass', () => {
    const builder = lists()
      .ask({ kind: 'append', from: 1, to: 2, steps: [read('lists', 'x', undefined), append('x', '0.1')] })
      .ask({ kind: 'append', from: 3, to: 4, steps: [read('lists', 'x', list('0.1')), append('x', '0.1', '1.1')] })
      .ask({ kind: 'list-read', from: 5, to: 6, steps: [read('lists', 'x', list('0.1', '1.1'))] });
    expect(anomalies(final(builder, { x: ['0.1', '1.1'] }))).toBe('');
  });

  it('catches a lost update', () => {
    const builder = lists()
      .ask({ kind: 'append', from: 1, to: 2, steps: [read('lists', 'x', undefined), append('x', '0.1')] })
      .ask({ kind: 'append', from: 1, to: 2, steps: [read('lists', 'x', undefined), append('x', '1.1')] });
    expect(anomalies(final(builder, { x: ['1.1'] }))).toContain('lost update');
  });

  it('lets a plain read of a table in memory be old once a node was started again, and no read of a majority', () => {
    for (const [restarted, majority, isFound] of [
      [false, false, true],
      [true, false, false],
      [true, true, true],
    ] as const) {
      const table = 'lists_majority_ram';
      const old = read(table, 'x', undefined) as Extract<Step, { type: 'read' }>;
      const builder = new HistoryBuilder([table])
        .ask({ kind: 'append', from: 1, to: 2, steps: [{ ...append('x', '0.1'), table } as Step] })
        .ask({ kind: 'list-read', from: 3, to: 4, steps: [majority ? { ...old, majority } : old] })
        .ends(table, { x: list('0.1') });
      builder.history.restarted = restarted;
      expect([restarted, majority, anomalies(builder) !== '']).toEqual([restarted, majority, isFound]);
    }
  });

  it('catches an aborted read', () => {
    const builder = lists()
      .ask({
        kind: 'append',
        from: 1,
        to: 2,
        outcome: 'fail',
        steps: [read('lists', 'x', undefined), append('x', '0.1')],
      })
      .ask({ kind: 'list-read', from: 3, to: 4, steps: [read('lists', 'x', list('0.1'))] });
    expect(anomalies(builder)).toContain('G1a');
  });

  it('catches an intermediate read', () => {
    const builder = lists()
      .ask({
        kind: 'append',
        from: 1,
        to: 9,
        steps: [
          read('lists', 'x', undefined),
          append('x', '0.1'),
          read('lists', 'x', list('0.1')),
          append('x', '0.1', '0.1.2'),
        ],
      })
      .ask({ kind: 'list-read', from: 3, to: 4, steps: [read('lists', 'x', list('0.1'))] });
    expect(anomalies(final(builder, { x: ['0.1', '0.1.2'] }))).toContain('G1b');
  });

  it('catches a transaction that does not see its own write', () => {
    const builder = lists().ask({
      kind: 'append',
      from: 1,
      to: 2,
      steps: [append('x', '0.1'), read('lists', 'x', undefined)],
    });
    expect(anomalies(final(builder, { x: ['0.1'] }))).toContain('internal');
  });

  it('catches write skew', () => {
    const builder = lists()
      .ask({
        kind: 'append',
        from: 1,
        to: 5,
        steps: [read('lists', 'x', undefined), read('lists', 'y', undefined), append('y', '0.1')],
      })
      .ask({
        kind: 'append',
        from: 1,
        to: 5,
        steps: [read('lists', 'x', undefined), read('lists', 'y', undefined), append('x', '1.1')],
      });
    expect(anomalies(final(builder, { x: ['1.1'], y: ['0.1'] }))).toContain('G2');
  });

  it('catches a long fork: two readers see two writes in different orders', () => {
    const builder = lists()
      .ask({ kind: 'append', from: 1, to: 9, steps: [read('lists', 'x', undefined), append('x', '0.1')] })
      .ask({ kind: 'append', from: 1, to: 9, steps: [read('lists', 'y', undefined), append('y', '1.1')] })
      .ask({
        kind: 'list-read',
        from: 1,
        to: 9,
        steps: [read('lists', 'x', list('0.1')), read('lists', 'y', undefined)],
      })
      .ask({
        kind: 'list-read',
        from: 1,
        to: 9,
        steps: [read('lists', 'x', undefined), read('lists', 'y', list('1.1'))],
      });
    expect(anomalies(final(builder, { x: ['0.1'], y: ['1.1'] }))).toContain('G2');
  });

  it('catches a stale read by the clock on the wall of the simulator', () => {
    const builder = lists()
      .ask({ kind: 'append', from: 1, to: 2, steps: [read('lists', 'x', undefined), append('x', '0.1')] })
      .ask({ kind: 'list-read', from: 3, to: 4, steps: [read('lists', 'x', undefined)] });
    expect(anomalies(final(builder, { x: ['0.1'] }))).toContain('real time');
  });

  it('lets a reader that overlaps the writer see either state', () => {
    const builder = lists()
      .ask({ kind: 'append', from: 1, to: 5, steps: [read('lists', 'x', undefined), append('x', '0.1')] })
      .ask({ kind: 'list-read', from: 3, to: 4, steps: [read('lists', 'x', undefined)] });
    expect(anomalies(final(builder, { x: ['0.1'] }))).toBe('');
  });

  it('catches two orders of the same elements', () => {
    const builder = lists()
      .ask({ kind: 'list-read', from: 1, to: 2, steps: [read('lists', 'x', list('7.1', '8.1'))] })
      .ask({ kind: 'list-read', from: 3, to: 4, steps: [read('lists', 'x', list('8.1', '7.1'))] });
    expect(anomalies(builder)).toContain('incompatible order');
  });

  it('takes an uncertain append that was seen as done, at any time after it was asked', () => {
    const builder = lists()
      .ask({ kind: 'append', from: 1, outcome: 'info', steps: [read('lists', 'x', undefined), append('x', '0.1')] })
      .ask({ kind: 'list-read', from: 5, to: 6, steps: [read('lists', 'x', undefined)] })
      .ask({ kind: 'list-read', from: 7, to: 8, steps: [read('lists', 'x', list('0.1'))] });
    expect(anomalies(final(builder, { x: ['0.1'] }))).toBe('');
  });
});

describe('islands strictly serializable', () => {
  const island = () => {
    const builder = new HistoryBuilder(['lists'], 3);
    builder.history.split = true;
    return builder
      .sees(0, 0, 0, 1)
      .sees(1, 0, 0, 1)
      .sees(2, 0, 2)
      .ask({ kind: 'append', from: 100, to: 200, steps: [read('lists', 'x', undefined), append('x', '0.1')] })
      .changed('lists', 'x', '0.1', { at: 200, hlc: 1 })
      .ends('lists', { x: list('0.1') });
  };

  it('lets another island see another state', () => {
    const builder = island().ask({
      kind: 'list-read',
      node: 2,
      from: 300,
      to: 400,
      steps: [read('lists', 'x', undefined)],
    });
    expect(checkersOf(builder)).toEqual([]);
  });

  it('catches a stale read in the same island', () => {
    const builder = island().ask({
      kind: 'list-read',
      node: 1,
      from: 300,
      to: 400,
      steps: [read('lists', 'x', undefined)],
    });
    expect(verdict(builder).join()).toContain('in the island peer1+peer2 from 0.000 to 400.001 ms');
  });

  it('asks nothing of transactions that saw a view change', () => {
    const builder = island()
      .sees(0, 250, 0)
      .ask({ kind: 'list-read', node: 1, from: 240, to: 400, steps: [read('lists', 'x', undefined)] });
    expect(checkersOf(builder)).toEqual([]);
  });
});

describe('rows strictly serializable', () => {
  it('catches a stale read of a register', () => {
    const builder = new HistoryBuilder()
      .ask({ from: 1, to: 2, steps: [write('registers', 'a', '0.1')] })
      .ask({ from: 3, to: 4, steps: [write('registers', 'a', '1.1')] })
      .ask({ kind: 'register-read', from: 5, to: 6, steps: [read('registers', 'a', { by: '0.1' })] })
      .changed('registers', 'a', '0.1', { at: 2, hlc: 10 })
      .changed('registers', 'a', '1.1', { at: 4, hlc: 20, before: '0.1' })
      .ends('registers', { a: { by: '1.1' } });
    expect(checkersOf(builder)).toEqual(['rows strictly serializable']);
  });

  it('catches read skew over two tables', () => {
    const builder = new HistoryBuilder(['registers', 'counters'])
      .ask({ from: 1, to: 9, steps: [write('registers', 'a', '0.1'), write('counters', 'c', '0.1', { count: 1 })] })
      .ask({ from: 1, to: 9, steps: [write('registers', 'a', '1.1'), write('counters', 'c', '1.1', { count: 2 })] })
      .ask({
        kind: 'register-read',
        from: 1,
        to: 9,
        steps: [read('registers', 'a', { by: '1.1' }), read('counters', 'c', { by: '0.1' })],
      })
      .changed('registers', 'a', '0.1', { at: 2, hlc: 10 })
      .changed('counters', 'c', '0.1', { at: 2, hlc: 10 })
      .changed('registers', 'a', '1.1', { at: 4, hlc: 20, before: '0.1' })
      .changed('counters', 'c', '1.1', { at: 4, hlc: 20, before: '0.1' })
      .ends('registers', { a: { by: '1.1' } })
      .ends('counters', { c: { by: '1.1', count: 2 } });
    expect(checkersOf(builder)).toContain('rows strictly serializable');
  });
});
