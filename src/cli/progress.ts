/** One line that says what is awaited: overwritten on a screen, printed once per change elsewhere. Goes to stderr. */

import type { Terminal } from './terminal.ts';

const CLEAR_LINE = '\r\u001b[2K';

export interface Progress {
  show(text: string): void;
  /** A line that stays. */
  say(text: string): void;
  done(): void;
}

export function createProgress(terminal: Terminal, write: (text: string) => void = writeStderr): Progress {
  let shown = '';
  const clear = () => {
    if (shown !== '' && terminal.errIsScreen) write(CLEAR_LINE);
    shown = '';
  };
  return {
    show: (text) => {
      if (text === shown) return;
      if (terminal.errIsScreen) write(`${CLEAR_LINE}${text} …`);
      else terminal.err(`${text} …`);
      shown = text;
    },
    say: (text) => {
      clear();
      terminal.err(text);
    },
    done: clear,
  };
}

function writeStderr(text: string): void {
  process.stderr.write(text);
}
