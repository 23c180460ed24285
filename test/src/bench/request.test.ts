import { describe, expect, test } from 'vitest';
import { type BenchOptions, measurementsFor } from '../../../src/bench/request.ts';
import { clientsOf } from '../../../src/bench/throughput.ts';
import { WORKLOADS } from '../../../src/bench/workloads.ts';
import { runProgram } from '../../../src/cli/program.ts';
import { recordingTerminal } from '../lab/support.ts';

function measurements(workload: string, options: Partial<BenchOptions> = {}) {
  return measurementsFor({ workload, ms: 5000, warmMs: 1500, output: 'json', beside: [], rounds: 1, ...options });
}

describe('what is measured', () => {
  test('a workload says itself with how many nodes, rows and clients', () => {
    const shown = measurements('w4').map(({ nodes, rows, clients }) => ({ nodes, rows, clients }));
    expect(shown).toEqual([
      { nodes: 1, rows: 10_000, clients: [1, 8, 64] },
      { nodes: 3, rows: 10_000, clients: [1, 8, 64] },
    ]);
    expect(measurements('W7')[0]).toMatchObject({ nodes: 3, rows: 100, clients: [3, 24, 63] });
    expect(measurements('W10S').map(({ netTicktimeMs }) => netTicktimeMs)).toEqual([4000, 1000]);
    expect(measurements('W15').map(({ nodes }) => nodes)).toEqual([1, 2, 3, 6]);
    expect(measurements('W15R').map(({ rows }) => rows)).toEqual([1000, 100_000, 1_000_000]);
  });

  test('what is asked for goes before it', () => {
    const asked = { nodes: 2, clients: [5], rows: 300, ms: 70, warmMs: 30, ticktime: 600 };
    const shown = { nodes: 2, clients: [5], rows: 300, measuredMs: 70, warmMs: 30, netTicktimeMs: 600 };
    expect(measurements('W3', asked)).toMatchObject([{ ...shown, resumeWindowMs: 600 }]);
  });

  test('all is every workload, each known by a name of its own', () => {
    const names = new Set(measurements('all').map(({ workload }) => workload.name));
    expect([...names]).toEqual(WORKLOADS.map(({ name }) => name));
    expect(names.size).toBe(WORKLOADS.length);
  });

  test('several are measured in the order in which they are named', () => {
    expect(measurements('W7, w3', { nodes: 3 }).map(({ workload }) => workload.name)).toEqual(['W7', 'W3']);
    expect(() => measurements('W3,')).toThrow(/no workload ""/);
  });

  test('clients are shared out among the nodes that have some', () => {
    expect([1, 2, 3].map((node) => clientsOf(node, 64, 3))).toEqual([22, 21, 21]);
    expect([1, 2, 3].map((node) => clientsOf(node, 64, 1))).toEqual([64, 0, 0]);
  });
});

describe('what cannot be measured', () => {
  test.each([
    [['bench', 'W99'], /there is no workload "W99"/, /use W1, .* and W15R, all of them with "all", or overload/],
    [['bench', 'W8'], /W8 cannot be measured/, /secondary index/],
    [['bench', 'W7', '--clients', '2'], /with 2 clients on 3 nodes/, /--clients 3 or more/],
    [['bench', 'W10', '--nodes', '1'], /on 1 node/, /--nodes 2 or more/],
    [['bench', 'W3', '--nodes', '0'], /whole number from 1 to 6/, /--help/],
    [['bench', 'W3', '--nodes', '7'], /whole number from 1 to 6/, /--help/],
    [['bench', 'W3', '--clients', '1,,8'], /such as 1,8,64/, /--help/],
    [['bench', 'W3', '--clients', '0'], /whole numbers from 1/, /--help/],
    [['bench', 'W3', '--ms', '-5'], /whole number from 10/, /--help/],
    [['bench'], /missing required argument 'workload'/, /--help/],
  ])('%j ends with 2, and says why and what to do', async (words, what, remedy) => {
    const terminal = recordingTerminal();
    expect(await runProgram(words, terminal)).toBe(2);
    expect(terminal.text()).toBe('');
    expect(terminal.errors.join('\n')).toMatch(what);
    expect(terminal.errors.join('\n')).toMatch(remedy);
  });

  test.each([
    [['--dir', '/nowhere/at/all'], /\/nowhere\/at\/all.* – .*ENOENT.* – .*--dir \(bad_file\)/],
    [['--out', '/nowhere/at/all.md'], /\/nowhere\/at.* – .*ENOENT.* – .*--out \(bad_file\)/],
  ])('a place that cannot be written, %j, is told before anything is measured', async (words, text) => {
    const terminal = recordingTerminal();
    expect(await runProgram(['bench', 'W3', ...words], terminal)).toBe(2);
    expect(terminal.errors.join('\n')).toMatch(text);
  });
});
