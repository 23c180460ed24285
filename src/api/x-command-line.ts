/** Splits a line into words, quoted strings and colons. */

export const COMMAND_LENGTH_MAX = 1_024;
export const COMMAND_WORDS_MAX = 32;

export interface Token {
  readonly text: string;
  readonly quoted: boolean;
  /** A colon follows it directly or after spaces. */
  readonly colon: boolean;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f]/;
/** A name ends at a colon. The word after one is a value, in which colons are ordinary: `fd00::1`. */
const NAME = /\s*(?:"((?:[^"\\]|\\.)*)"|([^\s":]+))(\s*:)?/y;
const VALUE = /\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))/y;

export function parseLine(line: string): { readonly tokens: readonly Token[] } | { readonly problem: string } {
  if (line.length > COMMAND_LENGTH_MAX) {
    return { problem: `The line is ${line.length} characters long; at most ${COMMAND_LENGTH_MAX} are read` };
  }
  const text = line.trim();
  if (CONTROL.test(text)) return { problem: 'The line holds control characters' };
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const pattern = tokens.at(-1)?.colon === true ? VALUE : NAME;
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match === null) return { problem: problemAt(text, at) };
    if (tokens.length >= COMMAND_WORDS_MAX) return { problem: `The line has more than ${COMMAND_WORDS_MAX} words` };
    tokens.push(tokenOf(match));
    at = pattern.lastIndex;
  }
  return { tokens };
}

function tokenOf(match: RegExpExecArray): Token {
  const colon = match[3] !== undefined;
  if (match[1] !== undefined) return { text: match[1].replace(/\\(.)/g, '$1'), quoted: true, colon };
  return { text: match[2]!, quoted: false, colon };
}

function problemAt(text: string, at: number): string {
  return text.slice(at).trimStart().startsWith('"')
    ? 'A double quote is not closed'
    : `The line cannot be read at "${text.slice(at, at + 20)}"`;
}
