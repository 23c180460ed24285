/**
 * Every error the command line can end with. One code each; `peerage explain CODE` prints the paragraph kept here.
 * What a person reads when it happens is one line: what happened – why – what to do (code).
 */

import { type ExitCode, exitCodes } from './exit-codes.ts';

export interface Explanation {
  readonly what: string;
  readonly why: string;
  readonly remedy: string;
}

interface ErrorEntry extends Explanation {
  readonly exit: ExitCode;
}

export const cliErrors = {
  usage: {
    exit: exitCodes.usage,
    what: 'The command line was not understood.',
    why: 'A command, option or value is unknown, missing or out of its range.',
    remedy: 'Run the same command with --help; it lists what is allowed.',
  },
  unknown_code: {
    exit: exitCodes.usage,
    what: 'There is no error code or alarm id of that name.',
    why: 'It was mistyped, or comes from another version.',
    remedy: 'Run `peerage explain` without an argument: it lists every code.',
  },
  bad_file: {
    exit: exitCodes.usage,
    what: 'A file named on the command line cannot be read.',
    why: 'It does not exist, is a directory, or its permissions forbid it.',
    remedy: 'Check the path and who may read it.',
  },
  no_password: {
    exit: exitCodes.usage,
    what: 'No password was given for a peer outside a lab.',
    why: 'There is no terminal to ask on, and PEERAGE_PASSWORD is not set.',
    remedy: 'Set PEERAGE_PASSWORD, or run the command in a terminal.',
  },
  peer_silent: {
    exit: exitCodes.noAnswer,
    what: 'A peer that was asked did not answer.',
    why: 'Its process is gone or paused, nothing listens at its address, or the way to it is cut.',
    remedy: 'Run `peerage status`: it says why for each peer. In a lab, `peerage lab start N` or `lab resume N`.',
  },
  certificate_not_trusted: {
    exit: exitCodes.noAnswer,
    what: 'The certificate of a peer could not be verified.',
    why: 'It was not issued by an authority this command trusts, or names another host.',
    remedy: 'Give the authority of the cluster with --ca FILE, and address the peer by a name its certificate holds.',
  },
  bad_answer: {
    exit: exitCodes.noAnswer,
    what: 'A peer answered with something that is not understood.',
    why: 'Another program listens at that address, or the peer runs another version.',
    remedy: 'Check the address; use the command line of the same version as the peers.',
  },
  not_authorised: {
    exit: exitCodes.refused,
    what: 'A peer refused the password or token.',
    why: 'It is wrong, has expired, or too many wrong ones were tried.',
    remedy:
      'Check PEERAGE_PASSWORD; wait a minute when too many were tried. In a lab the token file must be the one of that lab.',
  },
  request_refused: {
    exit: exitCodes.refused,
    what: 'A peer refused a request.',
    why: 'The message of the peer says it.',
    remedy: 'Follow what the message names; `peerage explain` knows the code in it.',
  },
  no_lab: {
    exit: exitCodes.lab,
    what: 'There is no lab in that directory.',
    why: 'No `peerage lab up` was run there, or it was removed by `peerage lab down --purge`.',
    remedy: 'Run `peerage lab up`, or name the directory of the lab with --dir.',
  },
  lab_not_a_lab: {
    exit: exitCodes.lab,
    what: 'The directory holds other files and no lab.',
    why: 'A lab is only made in a new or empty directory, so that nothing of yours is touched.',
    remedy: 'Name another directory with --dir.',
  },
  lab_unreadable: {
    exit: exitCodes.lab,
    what: 'The state file of the lab, lab.json, cannot be used.',
    why: 'It was changed by hand, cut short, or written by another version.',
    remedy: 'End the processes of that lab by hand if any run, remove the directory, and run `peerage lab up` again.',
  },
  lab_busy: {
    exit: exitCodes.lab,
    what: 'Another command is changing this lab.',
    why: 'Only one command at a time may write its state file.',
    remedy: 'Wait for it and try again; remove lab.lock in the directory if no other command runs.',
  },
  lab_already_running: {
    exit: exitCodes.lab,
    what: 'The lab runs already.',
    why: 'Some of its peers are alive, or another `lab up` is at work there.',
    remedy: '`peerage status` shows it, `peerage lab start N` starts a missing peer, `peerage lab down` stops it.',
  },
  lab_size_differs: {
    exit: exitCodes.lab,
    what: 'The lab in that directory has another number of peers.',
    why: 'Certificates, peer list and data were made for its first size.',
    remedy: 'Leave --peers out, or use another --dir, or begin anew after `peerage lab down --purge`.',
  },
  lab_port_taken: {
    exit: exitCodes.lab,
    what: 'A port that a peer of the lab needs is taken.',
    why: 'Another program, perhaps another lab, listens there.',
    remedy: 'Stop that program, or make the lab elsewhere with --first-address, e.g. 127.15.14.15.',
  },
  lab_unsupported: {
    exit: exitCodes.lab,
    what: 'A lab cannot run on this system.',
    why: 'Pausing and killing peers safely needs signals and process start times as Linux and macOS have them.',
    remedy: 'Run the lab on Linux or macOS, or in a Linux virtual machine.',
  },
  lab_no_such_peer: {
    exit: exitCodes.lab,
    what: 'The lab has no peer of that number.',
    why: 'Peers are numbered from 1 as `peerage lab up --peers N` made them.',
    remedy: 'Run `peerage lab status` to see them.',
  },
  lab_peer_not_running: {
    exit: exitCodes.lab,
    what: 'That peer does not run.',
    why: 'It was killed or stopped, or it died.',
    remedy: 'Start it with `peerage lab start N`; its last words are in peerN/console.log of the lab.',
  },
  lab_peer_running: {
    exit: exitCodes.lab,
    what: 'That peer runs already.',
    why: 'It was never stopped, or another command started it.',
    remedy: 'Nothing to do; `peerage lab kill N` first if it should start anew.',
  },
  lab_peer_died: {
    exit: exitCodes.lab,
    what: 'A peer ended while the lab was starting.',
    why: 'Its last lines, printed with the error, say it; they are kept in peerN/console.log.',
    remedy: 'Mend what they name and start again.',
  },
  lab_start_slow: {
    exit: exitCodes.lab,
    what: 'The peers were not ready in time.',
    why: 'The line before the error says what was still awaited.',
    remedy: 'Look at peerN/peer.log and peerN/console.log; try again on a less loaded machine.',
  },
  lab_interrupted: {
    exit: exitCodes.lab,
    what: 'The lab was stopped before it was ready.',
    why: 'Ctrl-C, or a signal to end.',
    remedy: 'Run `peerage lab up` again.',
  },
  lab_not_stopped: {
    exit: exitCodes.lab,
    what: 'A process of the lab did not end.',
    why: 'It did not end on SIGKILL, so the system holds it (often a stuck disc), or it belongs to another user.',
    remedy: 'Look at it with `ps`; stop it as its owner.',
  },
  lab_same_peer: {
    exit: exitCodes.usage,
    what: 'A fault between two peers needs two different peers.',
    why: 'The same number was given twice, or only one number was given.',
    remedy: 'Give two numbers, e.g. `peerage lab cut 1 2`.',
  },
  bench_failed: {
    exit: exitCodes.refused,
    what: 'Something could not be measured to its end.',
    why: 'A node failed or ended, or something awaited did not happen; the message says what.',
    remedy: 'Measure again on a machine with less load; lines of the node that failed stand above the error.',
  },
  bench_program_missing: {
    exit: exitCodes.refused,
    what: 'A system to compare with is not installed.',
    why: 'Its programs are not on PATH.',
    remedy: 'Install what the message names, or leave --beside out.',
  },
  setup_node_too_old: {
    exit: exitCodes.broken,
    what: 'This Node.js is too old.',
    why: 'peerage needs Node.js 20.19 or newer.',
    remedy: 'Install a newer Node.js.',
  },
  setup_npm_missing: {
    exit: exitCodes.broken,
    what: 'The dependencies cannot be installed.',
    why: 'The command npm is not on PATH.',
    remedy: 'Install npm; it comes with Node.js.',
  },
  setup_npm_failed: {
    exit: exitCodes.broken,
    what: 'The dependencies could not be installed.',
    why: 'npm ci failed; its last lines stand above the error.',
    remedy: 'Check the connection to your package registry and try again.',
  },
  setup_build_failed: {
    exit: exitCodes.broken,
    what: 'The sources could not be built.',
    why: 'A source file has an error; it is named above the error.',
    remedy: 'Correct it, or go back to a released state of the sources.',
  },
  setup_locked: {
    exit: exitCodes.broken,
    what: 'Set-up waited too long for another set-up.',
    why: 'Another process holds .cache/setup.lock.',
    remedy: 'End that process, or remove the lock directory if no set-up runs.',
  },
  internal: {
    exit: exitCodes.broken,
    what: 'peerage itself broke.',
    why: 'A case that should not happen happened; the stack trace says where.',
    remedy: 'Report it with the stack trace and the command that was run.',
  },
} as const satisfies Record<string, ErrorEntry>;

export type CliErrorCode = keyof typeof cliErrors;

/** Ends the command. Its text is one sentence a part, without a full stop. */
export class CliError extends Error {
  readonly code: CliErrorCode;
  readonly what: string;
  readonly why: string;
  readonly remedy: string;

  constructor(code: CliErrorCode, what: string, why: string, remedy: string) {
    super(`${what} – ${why} – ${remedy} (${code})`);
    this.name = 'CliError';
    this.code = code;
    this.what = what;
    this.why = why;
    this.remedy = remedy;
  }

  get exit(): ExitCode {
    return cliErrors[this.code].exit;
  }
}

export function usageError(what: string, why: string, remedy: string): CliError {
  return new CliError('usage', what, why, remedy);
}

/** The text of anything that was thrown. */
export function messageOf(failure: unknown): string {
  return failure instanceof Error ? failure.message : String(failure);
}

/** The `code` of a failed system call (`ENOENT`, …), undefined for other failures. */
export function systemCode(failure: unknown): string | undefined {
  if (!(failure instanceof Error) || !('code' in failure)) return undefined;
  return typeof failure.code === 'string' ? failure.code : undefined;
}
