/** Builds the simulator with a copy of the database that is broken on purpose, and loads it. Needs the source tree. */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { editSource, SABOTAGE_SEEDS_MAX, type Sabotage } from './sabotage.ts';
import type { runSeed, SeedOptions, SeedResult } from './simulation.ts';

export interface SabotagedSimulator {
  run(seed: number, trace?: (line: string) => void): Promise<SeedResult>;
}

export interface Catch {
  readonly seed: number;
  readonly checker: string;
  readonly text: string;
}

/** Not through storage's door, behind which there are discs and their native code. */
const ENTRY = `
  export { runSeed } from './src/simulation/simulation.ts';
  export { Database } from './storage/database.ts';
`;

interface Loaded {
  readonly runSeed: typeof runSeed;
  readonly Database: { open: SeedOptions['openDatabase'] };
}

export async function loadSabotaged(sabotage: Sabotage): Promise<SabotagedSimulator> {
  const root = sourceRoot();
  const folder = await mkdtemp(join(tmpdir(), 'peerage-sabotage-'));
  try {
    const outfile = join(folder, `${sabotage.name}.mjs`);
    const touched = new Set<string>();
    await build({
      stdin: { contents: ENTRY, resolveDir: root, loader: 'ts' },
      bundle: true,
      outfile,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      logLevel: 'silent',
      plugins: [editing(root, sabotage, touched)],
    });
    const untouched = sabotage.edits.find((edit) => !touched.has(edit.file));
    if (untouched)
      throw new RangeError(`${untouched.file} is not part of the simulator: "${sabotage.name}" breaks nothing.`);
    const { runSeed: run, Database } = (await import(pathToFileURL(outfile).href)) as Loaded;
    return {
      run: (seed, trace) =>
        run({
          seed,
          openDatabase: (options) => Database.open(options),
          ...(sabotage.profile === undefined ? {} : { profile: sabotage.profile }),
          ...(trace === undefined ? {} : { trace }),
        }),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * A seed up to `most` in which a checker that should see it does, or nothing when none shows it. The one that did before
 * is looked at first.
 */
export async function firstCatch(sabotage: Sabotage, most: number = SABOTAGE_SEEDS_MAX): Promise<Catch | undefined> {
  const simulator = await loadSabotaged(sabotage);
  const all = Array.from({ length: most }, (_, index) => index + 1);
  for (const seed of [...all.slice(sabotage.seed - 1), ...all.slice(0, sabotage.seed - 1)]) {
    const { violations } = await simulator.run(seed);
    const found = violations.find(({ checker }) => sabotage.caughtBy.includes(checker));
    if (found) return { seed, ...found };
  }
  return undefined;
}

function editing(root: string, sabotage: Sabotage, touched: Set<string>): Plugin {
  return {
    name: 'sabotage',
    setup(building) {
      building.onLoad({ filter: /[\\/]storage[\\/].*\.ts$/ }, async ({ path }) => {
        const file = relative(root, path).split(sep).join('/');
        if (!sabotage.edits.some((edit) => edit.file === file)) return undefined;
        touched.add(file);
        return { contents: editSource(file, await readFile(path, 'utf8'), sabotage.edits), loader: 'ts' };
      });
    },
  };
}

function sourceRoot(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'storage/index.ts')) && existsSync(join(folder, 'package.json'))) return folder;
    if (folder === dirname(folder)) {
      throw new RangeError('Breaking the database on purpose needs its source: run it in a clone of the repository.');
    }
  }
}
