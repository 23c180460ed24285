/** The command `peerage`. */

import { runProgram } from './cli/program.ts';
import { processTerminal } from './cli/terminal.ts';

// Handles that are still open belong to the command (a peer that runs) and end it when they close.
process.exitCode = await runProgram(process.argv.slice(2), processTerminal());
