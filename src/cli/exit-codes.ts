/** The exit codes of every command, in one table; `--help` prints it. */

export const exitCodes = {
  ok: 0,
  refused: 1,
  usage: 2,
  noAnswer: 3,
  lab: 4,
  broken: 5,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** What a command ends with; commander itself has no place for it. */
export interface Outcome {
  exitCode: number;
}

const meanings: ReadonlyArray<readonly [ExitCode, string]> = [
  [exitCodes.ok, 'done; the cluster is healthy where the command looks at its health'],
  [exitCodes.refused, 'the cluster is unhealthy, a peer refused the command, or a simulation or measurement failed'],
  [exitCodes.usage, 'the command line or its input was not understood'],
  [exitCodes.noAnswer, 'a peer that was asked did not answer'],
  [exitCodes.lab, 'a problem with the lab: its directory, its ports or its processes'],
  [exitCodes.broken, 'set-up failed, or peerage itself broke'],
];

export function exitCodesHelp(): string {
  return ['Exit codes:', ...meanings.map(([code, meaning]) => `  ${code}  ${meaning}`)].join('\n');
}
