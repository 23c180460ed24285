/** The command `bench` and the one that its nodes are started with. */
import { type Command, InvalidArgumentError } from 'commander';
import type { BenchOptions } from '../bench/request.ts';
import { collect, outputOption, PEERS_MAX, wholeNumber } from './arguments.ts';
import type { Outcome } from './exit-codes.ts';
import type { Terminal } from './terminal.ts';

const MEASURED_MS = 5000;
const WARM_MS = 1500;
const MS_MAX = 3_600_000;
const CLIENTS_MAX = 10_000;
const ROUNDS_MAX = 1000;
const MINUTES_MAX = 24 * 60;
const PAGE = 'docs/benchmarks.md';
const ROWS_MAX = 10_000_000;

const oneCount = wholeNumber(1, CLIENTS_MAX);

function clientCounts(text: string): number[] {
  try {
    return text.split(',').map(oneCount);
  } catch {
    throw new InvalidArgumentError(`It must be one or more whole numbers from 1 to ${CLIENTS_MAX}, such as 1,8,64.`);
  }
}

function positiveNumber(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value > 0 && value <= MINUTES_MAX) return value;
  throw new InvalidArgumentError(`It must be a number above 0 and up to ${MINUTES_MAX}.`);
}

export function addBenchCommands(program: Command, terminal: Terminal, outcome: Outcome): void {
  program
    .command('bench')
    .description('measure the database: every node a process, TLS between them, the disc they run on')
    .argument('<workload>', 'W1 to W15, several as W3,W4, all, or overload; a wrong name lists them')
    .option('--nodes <count>', 'how many nodes (default: what the workload asks for)', wholeNumber(1, PEERS_MAX))
    .option('--clients <counts>', 'how many clients, one measurement each, such as 1,8,64', clientCounts)
    .option('--ms <ms>', 'how long is measured', wholeNumber(10, MS_MAX), MEASURED_MS)
    .option('--warm-ms <ms>', 'how long clients run before that', wholeNumber(0, MS_MAX), WARM_MS)
    .option('--rows <count>', 'how many rows (default: what the workload asks for)', wholeNumber(100, ROWS_MAX))
    .option('--ticktime <ms>', 'net_ticktime of the nodes (default: that of a peer)', wholeNumber(400, 120_000))
    .option('--dir <directory>', 'where the data of the nodes is put, and removed again (default: the temporary one)')
    .option(
      '--beside <system>',
      'do the same on mnesia, mnesia-tuned or etcd, turn about; may be repeated',
      collect,
      [],
    )
    .option('--rounds <count>', 'how often everything is measured', wholeNumber(1, ROUNDS_MAX), 1)
    .option('--out <file>', `page to put the figures in (default for all: ${PAGE})`)
    .option('--minutes <minutes>', 'how long overload offers too much, such as 0.5 (default: 1)', positiveNumber)
    .option('--transactions-max <count>', 'of overload: transactions at once on a node', wholeNumber(1, 1_000_000))
    .option('--cpu-prof <directory>', 'write a .cpuprofile of the measured time of each node there')
    .option('--heap-prof <directory>', 'write a .heapprofile of the measured time of each node there')
    .addOption(outputOption())
    .action(async (workload: string, options: Omit<BenchOptions, 'workload'>) => {
      const { runBenchCommand } = await import('../bench/main.ts');
      const out = options.out ?? (workload === 'all' ? PAGE : undefined);
      outcome.exitCode = await runBenchCommand({ ...options, out, workload }, terminal);
    });
  program
    .command('bench-node', { hidden: true })
    .description('one node of what bench measures; bench starts it')
    .action(async () => {
      const { runBenchNode } = await import('../bench/node-main.ts');
      outcome.exitCode = runBenchNode();
    });
}
