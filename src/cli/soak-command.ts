/** The command `soak`, and the hidden one that it starts its peers with. */
import type { Command } from 'commander';
import type { SoakCommandOptions } from '../soak/main.ts';
import { firstAddress, minutes, nodeCount, outputOption, seedNumber, wholeNumber } from './arguments.ts';
import type { Outcome } from './exit-codes.ts';
import type { Terminal } from './terminal.ts';

const DEFAULTS = { minutes: 60, seed: 1, peers: 3, round: 180, faultEvery: 20 } as const;

export function addSoakCommands(program: Command, terminal: Terminal, outcome: Outcome): void {
  program
    .command('soak')
    .description('run real peers under random faults for a long time, and check what they promise')
    .option('--minutes <minutes>', 'how long', minutes, DEFAULTS.minutes)
    .option('--seed <seed>', 'which faults and operations', seedNumber, DEFAULTS.seed)
    .option('--peers <count>', 'how many peers, 2 to 6', nodeCount, DEFAULTS.peers)
    .option('--round <seconds>', 'work between two checks', wholeNumber(5, 3600), DEFAULTS.round)
    .option('--fault-every <seconds>', 'from one fault to the next', wholeNumber(1, 3600), DEFAULTS.faultEvery)
    .option('--first-address <address>', 'loopback address of the first peer', firstAddress)
    .addOption(outputOption())
    .action(async (options: SoakCommandOptions) => {
      const { runSoakCommand } = await import('../soak/main.ts');
      outcome.exitCode = await runSoakCommand(options, terminal);
    });
  program
    .command('soak-peer <config> <index> <count>', { hidden: true })
    .description('one peer of a soak, with clients in its process; started by `soak`')
    .action(async (config: string, index: string, count: string) => {
      const { runSoakPeer } = await import('../soak/worker.ts');
      await runSoakPeer(config, Number(index), Number(count));
    });
}
