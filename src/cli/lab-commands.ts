/** The commands below `peerage lab`. */

import type { Command } from 'commander';
import {
  clockOffset,
  delay,
  firstAddress,
  outputOption,
  PEERS_MAX,
  peerNumber,
  wholeNumber,
  withDirectory,
} from './arguments.ts';
import type { Outcome } from './exit-codes.ts';
import type { Terminal } from './terminal.ts';

interface LabOptions {
  readonly dir: string;
  readonly output: 'table' | 'json';
}

interface UpOptions extends LabOptions {
  readonly peers?: number;
  readonly firstAddress?: string;
  readonly detach?: boolean;
  readonly newPassword?: boolean;
}

type Run = (command: Command) => Command;

function addUpAndDown(lab: Command, terminal: Terminal, outcome: Outcome): void {
  const up = lab
    .command('up')
    .description('start a cluster on this machine; makes it first if the directory holds none')
    .option(
      '-n, --peers <count>',
      'how many peers, 1 to 6 (default: 3, or as many as the lab has)',
      wholeNumber(1, PEERS_MAX),
    )
    .option('--detach', 'come back when the peers are ready and leave them running')
    .option('--new-password', 'make and show a new password for an existing lab')
    .option(
      '--first-address <address>',
      'loopback address of peer 1; the others follow (default: 127.15.13.15)',
      firstAddress,
    )
    .addOption(outputOption());
  withDirectory(up).action(async (options: UpOptions) => {
    const { labUp } = await import('../lab/up.ts');
    const { dir, peers, firstAddress: address, detach = false, newPassword = false, output } = options;
    const upOptions = { directory: dir, peers, firstAddress: address, detach, newPassword, json: output === 'json' };
    outcome.exitCode = await labUp(upOptions, terminal);
  });
  const down = lab
    .command('down')
    .description('stop every peer of the lab, whoever started it, and keep its data')
    .option('--purge', 'remove the lab too: data, keys, logs')
    .addOption(outputOption());
  withDirectory(down).action(async ({ dir, purge = false, output }: LabOptions & { purge?: boolean }) => {
    const { labDown } = await import('../lab/down.ts');
    outcome.exitCode = await labDown({ directory: dir, purge, json: output === 'json' }, terminal);
  });
  const status = lab
    .command('status')
    .description('the processes of the lab and the faults set in them')
    .addOption(outputOption());
  withDirectory(status).action(async ({ dir, output }: LabOptions) => {
    const { runLabStatus } = await import('../lab/lab-status.ts');
    outcome.exitCode = await runLabStatus(dir, output === 'json', terminal);
  });
}

function addProcessCommands(lab: Command, terminal: Terminal, outcome: Outcome): void {
  const onePeer: Run = (command) => withDirectory(command.argument('<peer>', 'number of the peer', peerNumber));
  const control = () => import('../lab/control.ts');
  onePeer(lab.command('kill').description('end a peer at once, without a word (SIGKILL)')).action(
    async (peer: number, { dir }: LabOptions) => {
      outcome.exitCode = await (await control()).labKill(dir, peer, terminal);
    },
  );
  onePeer(lab.command('start').description('start a peer that does not run, with its data'))
    .option('--no-wait', 'do not wait until it has joined the others')
    .action(async (peer: number, { dir, wait }: LabOptions & { wait: boolean }) => {
      outcome.exitCode = await (await control()).labStart({ directory: dir, index: peer, wait }, terminal);
    });
  onePeer(
    lab.command('pause').description('freeze a peer: it keeps its connections and says nothing (SIGSTOP)'),
  ).action(async (peer: number, { dir }: LabOptions) => {
    outcome.exitCode = await (await control()).labPause(dir, peer, terminal);
  });
  onePeer(lab.command('resume').description('let a paused peer go on (SIGCONT)')).action(
    async (peer: number, { dir }: LabOptions) => {
      outcome.exitCode = await (await control()).labResume(dir, peer, terminal);
    },
  );
}

function addFaultCommands(lab: Command, terminal: Terminal, outcome: Outcome): void {
  const twoPeers: Run = (command) =>
    withDirectory(
      command.argument('<a>', 'number of one peer', peerNumber).argument('<b>', 'number of the other', peerNumber),
    );
  const faults = () => import('../lab/faults.ts');
  twoPeers(lab.command('cut').description('cut the link between two peers, as if a cable were pulled'))
    .option('--one-way', 'only what A sends does not reach B')
    .action(async (a: number, b: number, { dir, oneWay = false }: LabOptions & { oneWay?: boolean }) => {
      outcome.exitCode = await (await faults()).labCut({ directory: dir, a, b }, oneWay, terminal);
    });
  const heal = lab
    .command('heal')
    .description('end cuts and delays: between two peers, or all of them')
    .argument('[a]', 'number of one peer', peerNumber)
    .argument('[b]', 'number of the other', peerNumber);
  withDirectory(heal).action(async (a: number | undefined, b: number | undefined, { dir }: LabOptions) => {
    outcome.exitCode = await (await faults()).labHeal(dir, a, b, terminal);
  });
  twoPeers(lab.command('delay').description('make the link between two peers slower, each way'))
    .argument('<time>', 'such as 80ms; 0ms ends it', delay)
    .action(async (a: number, b: number, delayMs: number, { dir }: LabOptions) => {
      outcome.exitCode = await (await faults()).labDelay({ directory: dir, a, b }, delayMs, terminal);
    });
  const clock = lab
    .command('clock')
    .description('set the clock of a peer wrong: lab clock 2 +2s; lab clock 2 -500ms')
    .argument('<peer>', 'number of the peer', peerNumber)
    .argument('<offset>', 'such as +2s; 0s makes it right again', clockOffset)
    // `-500ms` looks like an option.
    .allowUnknownOption();
  withDirectory(clock).action(async (peer: number, offsetMs: number, { dir }: LabOptions) => {
    outcome.exitCode = await (await faults()).labClock(dir, peer, offsetMs, terminal);
  });
}

export function addLabCommands(program: Command, terminal: Terminal, outcome: Outcome): void {
  const lab = program.command('lab').description('a cluster of up to six peers on this machine, with faults on demand');
  addUpAndDown(lab, terminal, outcome);
  addProcessCommands(lab, terminal, outcome);
  addFaultCommands(lab, terminal, outcome);
}
