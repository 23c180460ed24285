import { afterEach, describe, expect, test, vi } from 'vitest';
import { decodeMessage, encodeMessage } from '../../../src/bench/beside/protobuf.ts';
import { comparisonOf, comparisonsTable } from '../../../src/bench/compare.ts';
import type { Figure } from '../../../src/bench/figures.ts';
import { BESIDE } from '../../../src/bench/systems.ts';
import { workloadNamed } from '../../../src/bench/workloads.ts';
import { runProgram } from '../../../src/cli/program.ts';
import { recordingTerminal } from '../lab/support.ts';

afterEach(() => void vi.unstubAllEnvs());

describe('a system beside ours', () => {
  test.each(BESIDE.map(({ name }) => [name]))('%s that is not installed is told with what to install', async (name) => {
    vi.stubEnv('PATH', '/nowhere');
    const terminal = recordingTerminal();
    expect(await runProgram(['bench', 'W4', '--beside', name], terminal)).toBe(1);
    const text = terminal.errors.join('\n');
    expect(text).toMatch(new RegExp(`^peerage: ${name} cannot be measured – .* not on PATH – `));
    expect(text).toMatch(/apt-get install \w.*leave --beside .* out \(bench_program_missing\)$/);
  });

  test('one that nobody knows is refused, and the known ones are named', async () => {
    const terminal = recordingTerminal();
    expect(await runProgram(['bench', 'W4', '--beside', 'sqlite'], terminal)).toBe(2);
    expect(terminal.errors.join('\n')).toMatch(/no system "sqlite".*mnesia, mnesia-tuned and etcd \(usage\)$/);
  });

  test('is measured only by what it can do', () => {
    const measured = (name: string) =>
      BESIDE.filter((one) => one.measures(workloadNamed(name)!)).map((one) => one.name);
    expect(measured('W4')).toEqual(['mnesia', 'mnesia-tuned', 'etcd']);
    expect(measured('W6')).toEqual(['mnesia', 'mnesia-tuned']);
    expect(measured('W9')).toEqual(['mnesia', 'mnesia-tuned']);
    expect(measured('W13')).toEqual([]);
    expect(measured('W14')).toEqual([]);
  });
});

const ours: Figure = {
  ...{ system: 'peerage', nodes: 3, workload: 'W4', op: 'tx_write', storage: 'disc_copies', rows: 10_000, clients: 8 },
  ...{ loadavg1: 1.5, ops_per_s: 15_000, p99_us: 1000, longest_gap_ms: 20, lost_acknowledged: 0 },
};
const theirs: Figure = {
  ...{ ...ours, system: 'mnesia', loadavg1: 2.5, ops_per_s: 10_000, p99_us: 4000, longest_gap_ms: 10 },
  lost_acknowledged: 7,
};

describe('a comparison', () => {
  test('of speeds, more is better; of times, less', () => {
    expect(comparisonOf(ours, theirs, 'ops_per_s')).toMatchObject({ ratio: 1.5, p99_ratio: 4, beside: 'mnesia' });
    expect(comparisonOf(ours, theirs, 'longest_gap_ms')).toMatchObject({ ratio: 0.5, ours: 20, theirs: 10 });
  });

  test('with nothing on one side is no number, and on both sides is even', () => {
    expect(comparisonOf(ours, theirs, 'lost_acknowledged')!.ratio).toBe(Number.POSITIVE_INFINITY);
    expect(comparisonOf(ours, { ...theirs, lost_acknowledged: 0 }, 'lost_acknowledged')!.ratio).toBe(1);
    expect(comparisonOf(ours, theirs, 'caught_up_s')).toBeUndefined();
  });

  test('shows the load of both', () => {
    const [, row] = comparisonsTable([comparisonOf(ours, theirs, 'ops_per_s')!]);
    expect(row).toMatch(/^W4 +3 +10 000 +8 +ops_per_s +15 000 +1\.50 +mnesia +10 000 +2\.50 +1\.50× +4\.00×$/);
  });
});

describe('a message of etcd', () => {
  test('is read as it was written', () => {
    const inner = encodeMessage([[1, 'key']]);
    const octets = encodeMessage([
      [1, inner],
      [2, 0],
      [3, 127],
      [4, 128],
      [6, 2 ** 40 + 5],
      [17, 'value'],
    ]);
    const fields = decodeMessage(octets);
    expect(Buffer.from(decodeMessage(fields.get(1) as Uint8Array).get(1) as Uint8Array).toString()).toBe('key');
    expect([2, 3, 4, 6].map((number) => fields.get(number))).toEqual([0, 127, 128, 2 ** 40 + 5]);
    expect(Buffer.from(fields.get(17) as Uint8Array).toString()).toBe('value');
  });

  test('has the octets of the protocol', () => {
    expect([
      ...encodeMessage([
        [1, 'a'],
        [6, 300],
      ]),
    ]).toEqual([0x0a, 1, 0x61, 0x30, 0xac, 0x02]);
  });

  test('that is cut short or unknown is refused', () => {
    expect(() => decodeMessage(Uint8Array.from([0x08, 0x80]))).toThrow(/ends in the middle/);
    expect(() => decodeMessage(Uint8Array.from([0x0b]))).toThrow(/unknown kind 3/);
  });
});
