/**
 * The command tree. Every command loads its own module when it runs, so that none waits for what it does not use: only
 * this file, commander and the table of exit codes are loaded by all of them.
 */

import { Argument, Command, CommanderError, Option } from 'commander';
import packageFile from '../../package.json' with { type: 'json' };
import type { SimulateOptions } from '../simulation/main.ts';
import {
  collect,
  jobCount,
  minutes,
  nodeCount,
  outputOption,
  seedCount,
  seedNumber,
  withDirectory,
} from './arguments.ts';
import { addBenchCommands } from './bench-command.ts';
import { shells } from './completion.ts';
import { CliError, usageError } from './errors.ts';
import { exitCodes, exitCodesHelp, type Outcome } from './exit-codes.ts';
import { addLabCommands } from './lab-commands.ts';
import { addSoakCommands } from './soak-command.ts';
import type { Terminal } from './terminal.ts';

const SEEDS_DEFAULT = 10;

interface OutputOptions {
  readonly output: 'table' | 'json';
}

interface AskOptions extends OutputOptions {
  readonly dir: string;
  readonly ca?: string;
}

function addStatus(program: Command, terminal: Terminal, outcome: Outcome): void {
  const command = program
    .command('status')
    .description('the whole cluster on one screen: peers, tables, alarms, and who did not answer')
    .option(
      '-p, --peer <peer>',
      'ask only this peer: its number in the lab, or https://host:port; may be repeated',
      collect,
      [],
    )
    .option('--ca <file>', 'authorities (PEM) to trust for peers given by URL')
    .addOption(outputOption())
    .addHelpText(
      'after',
      '\nPeers given by URL are asked with the password of admin, from PEERAGE_PASSWORD or typed in.\nEnds with 0 when the cluster is healthy, 1 when it is not, 3 when a peer did not answer.',
    );
  withDirectory(command).action(async (options: AskOptions & { peer: readonly string[] }) => {
    const { runStatus } = await import('./status.ts');
    const { dir, peer, ca, output } = options;
    outcome.exitCode = await runStatus({ directory: dir, peers: peer, ca, json: output === 'json' }, terminal);
  });
}

const xDescriptions = {
  xconfiguration: 'show or set configuration at a peer: xconfiguration clusterConfiguration tls_verify: Enforcing',
  xstatus: 'show the state of a peer: xstatus cluster',
  xcommand: 'do something once at a peer: xcommand ForceConfigUpdate',
} as const;

function addXVerbs(program: Command, terminal: Terminal, outcome: Outcome): void {
  for (const [verb, description] of Object.entries(xDescriptions) as Array<[keyof typeof xDescriptions, string]>) {
    const command = program
      .command(verb)
      .description(description)
      .argument('[words...]', 'the line, as the peer reads it; `?` shows what there is')
      .option('-p, --peer <peer>', 'the peer that executes it: its number in the lab, or https://host:port', '1')
      .option('--ca <file>', 'authorities (PEM) to trust for a peer given by URL')
      .addOption(outputOption())
      .allowUnknownOption();
    withDirectory(command).action(async (words: string[], options: AskOptions & { peer: string }) => {
      const { runXVerb } = await import('./x-verbs.ts');
      const { dir, peer, ca, output } = options;
      outcome.exitCode = await runXVerb({ verb, words, directory: dir, peer, ca, json: output === 'json' }, terminal);
    });
  }
}

function addRunners(program: Command, outcome: Outcome): void {
  program
    .command('peer')
    .description('run one peer in this process until it is asked to stop')
    .requiredOption('-c, --config <file>', 'configuration file of the peer')
    .action(async ({ config }: { config: string }) => {
      const { runPeer } = await import('../peer/main.ts');
      await runPeer(config);
    });
  program
    .command('simulate')
    .description('run whole clusters under virtual time with faults from a seed, and check what they promise')
    .option('--seeds <count>', 'how many seeds', seedCount, SEEDS_DEFAULT)
    .option('--from <seed>', 'the first seed', seedNumber, 1)
    .option('--minutes <minutes>', 'stop after this real time, whatever seeds are left', minutes)
    .option('--nodes <count>', 'how many nodes each cluster has, 2 to 6 (default: the seed decides)', nodeCount)
    .option('--profile <name>', 'which faults (default: the seed decides); a wrong name lists them')
    .option(
      '--jobs <count>',
      'processes that run seeds (default: one for each processor, when there is much to do)',
      jobCount,
    )
    .addOption(new Option('--worker', 'run seeds for another process of this command').hideHelp())
    .option('--trace', 'print everything that happens, for one seed')
    .option(
      '--sabotage <name>',
      'break the database in a known way and see which check notices; "all" for each in turn',
    )
    .addOption(outputOption())
    .action(async (options: SimulateOptions) => {
      const { runSimulateCommand } = await import('../simulation/main.ts');
      outcome.exitCode = await runSimulateCommand(options);
    });
}

function addHelpers(program: Command, terminal: Terminal, outcome: Outcome): void {
  program
    .command('explain')
    .description('what an error code or alarm id means, why it comes, what to do; without one: all of them')
    .argument('[code]', 'such as lab_port_taken, no_majority or 20004')
    .addOption(outputOption())
    .action(async (code: string | undefined, { output }: OutputOptions) => {
      const { runExplain } = await import('./explain.ts');
      outcome.exitCode = runExplain(code, output === 'json', terminal);
    });
  program
    .command('completion')
    .description('print a completion script for a shell')
    .addArgument(new Argument('<shell>', 'which shell').choices(shells))
    .action(async (shell: (typeof shells)[number]) => {
      const { completionScript } = await import('./completion.ts');
      terminal.out(completionScript(program, shell));
    });
  const log = program.command('log').description('work with event logs');
  log
    .command('parse')
    .description('read lines of an event log from standard input and print one JSON object each')
    .addOption(outputOption().default('json'))
    .action(async ({ output }: OutputOptions) => {
      const { runLogParse } = await import('./log-parse.ts');
      outcome.exitCode = await runLogParse({ input: process.stdin, json: output === 'json' }, terminal);
    });
}

export function createProgram(terminal: Terminal, outcome: Outcome): Command {
  const program = new Command('peerage')
    .description('Runs clusters of video call-control peers, and the replicated database under them.')
    .version(packageFile.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show what this command does')
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.out(text.trimEnd()),
      // Errors are printed once, in our own form, by whoever runs the program; this is help asked for by mistake.
      writeErr: (text) => terminal.err(text.trimEnd()),
      outputError: () => undefined,
    })
    .addHelpText(
      'after',
      `\n${exitCodesHelp()}\n\nErrors read: what happened – why – what to do (code). See: peerage explain CODE`,
    );
  addLabCommands(program, terminal, outcome);
  addStatus(program, terminal, outcome);
  addXVerbs(program, terminal, outcome);
  addRunners(program, outcome);
  addBenchCommands(program, terminal, outcome);
  addSoakCommands(program, terminal, outcome);
  addHelpers(program, terminal, outcome);
  return program;
}

/** `xConfiguration` and `xconfiguration` are the same word, as they are at a peer. */
export function normaliseVerb(words: readonly string[]): string[] {
  const [verb, ...rest] = words;
  if (verb === undefined) return [];
  return [Object.keys(xDescriptions).includes(verb.toLowerCase()) ? verb.toLowerCase() : verb, ...rest];
}

/** commander's sentence in our own form. Its suggestion, on a line of its own, becomes what to do. */
function fromCommander(failure: CommanderError): CliError {
  const text = failure.message.replace(/^error: /, '');
  const suggestion = /\n?\(Did you mean (.+)\?\)$/s.exec(text);
  const what = text.slice(0, suggestion?.index).trim().replace(/\.$/, '');
  const remedy = suggestion === null ? 'see --help' : `did you mean ${suggestion[1]}? --help lists what there is`;
  return usageError(what, 'the command line was not understood', remedy);
}

export function printFailure(failure: unknown, terminal: Terminal): number {
  if (failure instanceof CliError) {
    terminal.err(`peerage: ${failure.message}`);
    return failure.exit;
  }
  const text = failure instanceof Error ? (failure.stack ?? failure.message) : String(failure);
  terminal.err(
    `peerage: an error that should not happen – ${text}\n– report it with this text and the command (internal)`,
  );
  return exitCodes.broken;
}

/** Runs one command line (without `node` and the script) and gives its exit code. */
export async function runProgram(words: readonly string[], terminal: Terminal): Promise<number> {
  const outcome: Outcome = { exitCode: exitCodes.ok };
  const program = createProgram(terminal, outcome);
  try {
    await program.parseAsync(normaliseVerb(words), { from: 'user' });
    return outcome.exitCode;
  } catch (failure) {
    if (!(failure instanceof CommanderError)) return printFailure(failure, terminal);
    // Help and version that were asked for come as an exception too, as does `peerage` without a command.
    if (failure.exitCode === 0) return exitCodes.ok;
    if (failure.code === 'commander.help') return exitCodes.usage;
    return printFailure(fromCommander(failure), terminal);
  }
}
