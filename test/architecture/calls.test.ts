/** Time, chance and the terminal have doors; nobody climbs through a window. */
import { describe, expect, it } from 'vitest';
import { blanked, sourceFiles } from './sources.ts';

const files = sourceFiles(/^(src|actors|storage)\/.*\.tsx?$/);

/** Everything that would make two runs with the same seed differ. */
const TIME_AND_CHANCE: readonly (readonly [name: string, pattern: RegExp])[] = [
  ['Date.now', /\bDate\.now\b/],
  ['new Date() of now', /\bnew Date\(\s*\)/],
  ['Date()', /(?<!new )\bDate\(/],
  ['performance', /\bperformance\b/],
  ['Math.random', /\bMath\.random\b/],
  ['setTimeout', /\bsetTimeout\b/],
  ['setInterval', /\bsetInterval\b/],
  ['setImmediate', /\bsetImmediate\b/],
  ['queueMicrotask', /\bqueueMicrotask\b/],
  ['process.nextTick', /\bprocess\.nextTick\b/],
  ['process.hrtime', /\bprocess\.hrtime\b/],
  ['random of node:crypto', /\b(randomBytes|randomInt|randomUUID|getRandomValues|randomFill(Sync)?)\b/],
];

/** Real-time code. In storage and actors: one file each, and what each may use. */
const MAY_TELL_TIME = [
  /^storage\/local-environment\.ts$/,
  /^actors\/otp\/nact-host\.ts$/,
  /^src\/(net\/|lab\/|cli\/|api\/|web\/client\/|simulation\/|bench\/|soak\/)/,
  // A log file waits for its own writes; the lines take their time from the clock they are given.
  /^src\/log\//,
];

const CONSOLE = /\bconsole\s*\./;
const MAY_PRINT = [/^src\/(cli|lab)\//, /^src\/main\.ts$/];

function uses(pattern: RegExp, excepted: readonly RegExp[]): string[] {
  return files
    .filter(({ path }) => !excepted.some((exception) => exception.test(path)))
    .flatMap(({ path, code }) =>
      code.flatMap((line, at) => (pattern.test(line) ? [`${path}:${at + 1} ${line.trim()}`] : [])),
    );
}

describe('calls', () => {
  it.each(TIME_AND_CHANCE)('%s is called only by code that runs in real time', (_, pattern) => {
    expect(uses(pattern, MAY_TELL_TIME)).toEqual([]);
  });

  it('of the real-time calls, actors use only what nact needs', () => {
    const host = files.filter(({ path }) => path === 'actors/otp/nact-host.ts').flatMap(({ code }) => code);
    expect(host.length).toBeGreaterThan(0);
    const others = TIME_AND_CHANCE.filter(([name]) => name !== 'setImmediate');
    expect(others.filter(([, pattern]) => host.some((line) => pattern.test(line))).map(([name]) => name)).toEqual([]);
  });

  it('only the command line and the lab print to the console', () => {
    expect(uses(CONSOLE, MAY_PRINT)).toEqual([]);
  });

  it('no error is swallowed by an empty catch', () => {
    const empty = files.filter(({ text }) => /catch\s*(\([^)]*\))?\s*\{\s*\}/.test(blanked(text)));
    expect(empty.map(({ path }) => path)).toEqual([]);
  });

  it('the rules see through comments and strings, and into templates', () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the text under test is a template
    const code = "a(); // Date.now\n/* setTimeout */ b('Math.random', `x ${Date.now()} performance`, /setInterval/);";
    const hits = TIME_AND_CHANCE.filter(([, pattern]) => pattern.test(blanked(code))).map(([name]) => name);
    expect(hits).toEqual(['Date.now']);
  });
});
