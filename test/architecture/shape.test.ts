/** Files and functions stay small enough to be read in one go. */
import { describe, expect, it } from 'vitest';
import { indentOf, longFunctions, sourceOf } from './long-functions.ts';
import { sourceFiles } from './sources.ts';

const FILE_LINES_MAX = 500;
const FUNCTION_LINES_MAX = 70;
/** A suite that every implementation of a port must pass is a list of cases. */
const SUITES = /^test\/.*\/conformance[\w-]*\.ts$/;

const files = sourceFiles(/^(src|actors|storage|examples|test|bin)\/.*\.(ts|tsx|mjs)$/);

describe('shape', () => {
  it(`no file has more than ${FILE_LINES_MAX} lines`, () => {
    const long = files.filter(
      ({ lines, text }) => lines.length - 1 > FILE_LINES_MAX && !/\/\/ long because: \S+/.test(text),
    );
    expect(long.map(({ path, lines }) => `${path}: ${lines.length - 1} lines`)).toEqual([]);
  });

  it(`no function has more than ${FUNCTION_LINES_MAX} lines, unless it says why`, () => {
    const measured = files.filter(({ path }) => !SUITES.test(path));
    expect(measured.flatMap((file) => longFunctions(file, FUNCTION_LINES_MAX))).toEqual([]);
  });

  it.each([
    ['a function', 'export async function go(a: number): Promise<void> {', '}'],
    ['an arrow function', 'const go = async (a: { b: string }): Promise<void> => {', '};'],
    ['a method', '  async #go(a: number, b = 2): Promise<void> {', '  }'],
    ['an accessor', '  get going(): boolean {', '  }'],
    ['a long signature', '  ): Promise<void> {', '  }'],
  ])('the measure sees %s, its length and its excuse', (_, first, last) => {
    const indent = ' '.repeat(indentOf(first) + 2);
    const body = Array.from({ length: FUNCTION_LINES_MAX }, () => `${indent}step();`);
    const at = (lines: readonly string[]) => longFunctions(sourceOf('x.ts', lines.join('\n')), FUNCTION_LINES_MAX);
    expect(at([first, ...body, last])).toHaveLength(1);
    expect(at([first, ...body.slice(2), last])).toEqual([]);
    expect(at(['// long because: it is a table', first, ...body, last])).toEqual([]);
  });
});
