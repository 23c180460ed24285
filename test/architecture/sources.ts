/** The source tree as the tests of this folder read it: text, stripped of comments and strings where they would mislead. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface SourceFile {
  /** From the root, with slashes. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
  /** Same lines, comments and the insides of strings blanked out. */
  readonly code: readonly string[];
}

/** What is tracked, and what is new and not ignored: a file counts before it is committed. */
export function ownFiles(): string[] {
  const words = ['ls-files', '--cached', '--others', '--exclude-standard', '-z'];
  const listed = execFileSync('git', words, { cwd: ROOT, encoding: 'utf8', maxBuffer: 1 << 26 });
  return [...new Set(listed.split('\0').filter((path) => path !== ''))].sort();
}

function readOrNothing(path: string): string | undefined {
  try {
    return readFileSync(join(ROOT, path), 'utf8');
  } catch (error) {
    // Listed by git and removed a moment ago.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

export function sourceFiles(pattern: RegExp): SourceFile[] {
  return ownFiles()
    .filter((path) => pattern.test(path))
    .flatMap((path) => {
      const text = readOrNothing(path);
      return text === undefined ? [] : [{ path, text, lines: text.split('\n'), code: blanked(text).split('\n') }];
    });
}

type Mode = 'code' | 'line' | 'block' | "'" | '"' | '`' | 'regex';

/** A `/` begins a regular expression where no value can have ended just before. */
function beginsRegex(text: string, at: number): boolean {
  let before = at - 1;
  while (before >= 0 && (text[before] === ' ' || text[before] === '\n')) before -= 1;
  if (before < 0 || '(,=:[!&|?{};+-*%<>~^'.includes(text[before] as string)) return true;
  return /\b(return|typeof|case|in|of)$/.test(text.slice(Math.max(0, before - 7), before + 1));
}

/** Blanks comments, strings and regular expressions, character for character, so that columns and lines stay. */
export function blanked(text: string): string {
  const out: string[] = [];
  const modes: Mode[] = ['code'];
  /** Depth of braces at which each `${` was opened. */
  const holes: number[] = [];
  let depth = 0;
  let inClass = false;
  for (let at = 0; at < text.length; at++) {
    const [char, next, mode] = [text[at] as string, text[at + 1], modes.at(-1) as Mode];
    const keep = char === '\n' ? '\n' : ' ';
    if (mode === 'code') {
      if (char === '/' && next === '/') modes.push('line');
      else if (char === '/' && next === '*') modes.push('block');
      else if (char === '/' && beginsRegex(text, at)) modes.push('regex');
      else if (char === "'" || char === '"' || char === '`') modes.push(char);
      if (char === '{') depth += 1;
      if (char === '}') depth -= 1;
      if (char === '}' && holes.at(-1) === depth) {
        holes.pop();
        modes.pop();
      }
      out.push(modes.at(-1) === 'line' || modes.at(-1) === 'block' ? keep : char);
      continue;
    }
    out.push(keep);
    if (mode === 'line') {
      if (char === '\n') modes.pop();
    } else if (mode === 'block') {
      if (char === '/' && text[at - 1] === '*') modes.pop();
    } else if (char === '\\') {
      out.push(next === '\n' ? '\n' : ' ');
      at += 1;
    } else if (mode === 'regex') {
      if (char === '[') inClass = true;
      else if (char === ']') inClass = false;
      else if (char === '\n' || (char === '/' && !inClass)) {
        modes.pop();
        inClass = false;
      }
    } else if (mode === '`' && char === '$' && next === '{') {
      out.push('{');
      at += 1;
      holes.push(depth);
      depth += 1;
      modes.push('code');
    } else if (char === mode) modes.pop();
  }
  return out.join('');
}

export interface Import {
  readonly from: string;
  /** As written. */
  readonly name: string;
  /** Path from the root of a relative import; undefined for a package. */
  readonly to: string | undefined;
  readonly isType: boolean;
  readonly isDynamic: boolean;
}

const IMPORT = /^(?:import|export)\s[^;]*?\sfrom\s+'([^']+)'|^import\s+'([^']+)'|\bimport\('([^']+)'\)/gm;

export function importsOf({ path, text }: SourceFile): Import[] {
  return [...text.matchAll(IMPORT)].map((match) => {
    const name = (match[1] ?? match[2] ?? match[3]) as string;
    const to = name.startsWith('.')
      ? relative(ROOT, resolve(ROOT, dirname(path), name)).replaceAll('\\', '/')
      : undefined;
    return {
      from: path,
      name,
      to,
      isType: /^(import|export) type\s/.test(match[0]),
      isDynamic: match[3] !== undefined,
    };
  });
}
