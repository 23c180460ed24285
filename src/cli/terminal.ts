/** Where a command writes and what it may ask of the screen. Tests pass one that keeps the text. */

export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  /** Whether stdout (stderr) is a screen: progress may then overwrite its own line. */
  readonly outIsScreen: boolean;
  readonly errIsScreen: boolean;
  readonly color: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export function processTerminal(): Terminal {
  const { env, stdout, stderr } = process;
  // A closed pipe (`peerage status | head`) is no error of ours: there is nobody left to tell.
  for (const stream of [stdout, stderr]) {
    stream.on('error', (failure: NodeJS.ErrnoException) => {
      if (failure.code === 'EPIPE') process.exit(0);
      throw failure;
    });
  }
  const isPlain = (env.NO_COLOR ?? '') !== '' || env.TERM === 'dumb' || !stdout.isTTY;
  return {
    out: (text) => void stdout.write(`${text}\n`),
    err: (text) => void stderr.write(`${text}\n`),
    outIsScreen: stdout.isTTY === true,
    errIsScreen: stderr.isTTY === true,
    color: !isPlain,
    env,
  };
}

const sgr = { red: 31, green: 32, yellow: 33, bold: 1, dim: 2 } as const;

export type Style = keyof typeof sgr;

export function styled(terminal: Terminal, style: Style, text: string): string {
  return terminal.color ? `\u001b[${sgr[style]}m${text}\u001b[0m` : text;
}

/** Letters as seen on the screen, without the marks for colour. */
export function visibleLength(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what is looked for
  return [...text.replace(/\u001b\[[0-9;]*m/g, '')].length;
}
