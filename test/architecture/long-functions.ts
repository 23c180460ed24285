/** Measures functions by their indentation, which the formatter guarantees. */
import { blanked, type SourceFile } from './sources.ts';

/**
 * Where functions begin, as the formatter writes them: at the start of a line, ending with an opening brace. Bodies
 * end at the first line that is no deeper than the beginning and closes it.
 */
const BEGINNINGS = [
  // A declaration or an arrow function that is given a name.
  /^\s*(export )?(default )?(async )?function\b.*\{$/,
  /^\s*(export )?(const|let) [^=]+=.*=>\s*\{$/,
  // Signatures over several lines end so.
  /^\s*\)(: [^=]+)? (=> )?\{$/,
  // A method, a constructor, an accessor.
  /^\s+(static |private |protected |public |override |async |readonly |get |set |\*)*[#\w]+\s*(<[^>]*>)?\([^)]*\)(: [^{]+(\{[^{}]*\}[^{]*)?)? \{$/,
];

const NOT_A_METHOD = /^\s+(if|for|while|switch|catch|return|do|else|try|with|describe|it|test)\b/;

export const indentOf = (line: string): number => line.length - line.trimStart().length;

/** `describe` and suites are lists of tests, not functions that do something. */
export function longFunctions({ path, lines, code }: SourceFile, linesMax: number): string[] {
  const found: string[] = [];
  code.forEach((line, at) => {
    if (NOT_A_METHOD.test(line) || !BEGINNINGS.some((beginning) => beginning.test(line))) return;
    const indent = indentOf(line);
    let end = at + 1;
    while (end < code.length && (code[end]!.trim() === '' || indentOf(code[end]!) > indent)) end += 1;
    const length = end - at + 1;
    const excused = lines.slice(Math.max(0, at - 3), at + 2).some((near) => /\/\/ long because: \S+/.test(near));
    if (length > linesMax && !excused) found.push(`${path}:${at + 1} ${length} lines: ${lines[at]!.trim()}`);
  });
  return found;
}

export function sourceOf(path: string, text: string): SourceFile {
  return { path, text, lines: text.split('\n'), code: blanked(text).split('\n') };
}
