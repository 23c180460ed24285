/** What the benchmark prints, from real processes. No speed is asserted here: only that what is counted was done. */
import { describe, expect, test } from 'vitest';
import type { Figure } from '../../src/bench/figures.ts';
import type { OverloadSecond } from '../../src/bench/overload.ts';
import type { Verdict } from '../../src/bench/verdicts.ts';
import { peerage } from './lab-harness.ts';

async function figures(...words: readonly string[]): Promise<Figure[]> {
  const { code, out, err } = await peerage('bench', ...words, '-o', 'json');
  expect(code, err).toBe(0);
  return out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Figure);
}

describe('the benchmark', () => {
  test('prints one line a figure that says what was measured, and whose counts add up', async () => {
    const lines = await figures('W3', '--nodes', '1', '--clients', '1,8', '--ms', '200', '--warm-ms', '50');
    expect(lines.map(({ clients }) => clients)).toEqual([1, 8]);
    for (const line of lines) {
      expect(line).toMatchObject({
        system: 'peerage',
        workload: 'W3',
        op: 'tx_write',
        storage: 'ram_copies',
        nodes: 1,
        rows: 10_000,
        ms: 200,
        warm_ms: 50,
      });
      expect(line.errors).toBeUndefined();
      expect(line.ops).toBeGreaterThan(0);
      expect(line.ops_per_s).toBe(Math.round((line.ops as number) * 5));
      expect(line.p50_us).toBeLessThanOrEqual(line.p99_us as number);
      expect(line.p99_us).toBeLessThanOrEqual(line.p999_us as number);
      expect(line.cpu_us_per_op).toHaveLength(1);
      expect(line.loadavg1).toBeGreaterThanOrEqual(0);
    }
  });

  test('counts every read-modify-write of three nodes, and compares their replicas', async () => {
    const [line] = await figures('W7', '--clients', '6', '--ms', '300', '--warm-ms', '50');
    expect(line).toMatchObject({ nodes: 3, lost_updates: 0, replicas_equal: true });
    expect(line!.attempts_per_commit).toBeGreaterThanOrEqual(1);
    expect(line!.cpu_us_per_op).toHaveLength(3);
  });

  test('a node that was stopped holds what the others hold before its catching up is over', async () => {
    const lines = await figures('W9', '--nodes', '2', '--rows', '500');
    expect(lines.map(({ rows_changed }) => rows_changed)).toEqual([0, 100, 500]);
    for (const { open_s, wait_for_tables_s, caught_up_s } of lines) {
      expect(open_s).toBeLessThanOrEqual(wait_for_tables_s as number);
      expect(wait_for_tables_s).toBeLessThanOrEqual(caught_up_s as number);
    }
  });

  test('twice the load that three nodes carry, one of them slow: bounded, told when to try again, nothing lost', async () => {
    const words = ['overload', '--minutes', '0.3', '--transactions-max', '200', '-o', 'json'];
    const { out, err } = await peerage('bench', ...words);
    const lines = out.trim().split('\n');
    const { verdicts } = JSON.parse(lines.at(-1)!) as { verdicts: Verdict[] };
    const failing = verdicts.filter(({ holds }) => !holds);
    // How soon it recovers is a matter of the machine; that it does, is not.
    const recovery = verdicts.find(({ name }) => name === 'recovery');
    expect(recovery?.seen, out + err).toMatch(/^answers came as before \d+ ms/);
    expect(
      failing.filter(({ name }) => name !== 'recovery'),
      out + err,
    ).toEqual([]);
    const phases = new Set(lines.slice(0, -1).map((line) => (JSON.parse(line) as OverloadSecond).phase));
    expect([...phases]).toEqual(['before', 'plain', 'slow link', 'pauses', 'slow disc', 'after']);
  });
});
