// Builds dist/ from the sources when they changed. Files are put in place by rename, entry points last, and old chunks
// stay for a while: a program that is running may still want to load one.
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { SetupError, say, seconds } from './say.mjs';

const SOURCE_FOLDERS = ['src', 'actors', 'storage'];
const SOURCE_FILES = ['package.json', 'tsconfig.json', 'package-lock.json', 'bin/lib/build.mjs'];
const SOURCE_ENDINGS = /\.(ts|tsx|css|html|svg|json)$/;
const WEB_CLIENT = 'src/web/client';
const STAMP = '.build-stamp';
const OLD_CHUNK_MS = 7 * 24 * 3_600_000;

/**
 * @param {string} folder
 * @param {(path: string) => void} visit
 */
function walk(folder, visit) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) walk(path, visit);
    else if (SOURCE_ENDINGS.test(entry.name)) visit(path);
  }
}

/**
 * One word for the state of the sources: their names, sizes and times. It costs a stat each and reads none of them.
 * @param {string} root
 */
export function sourceStamp(root) {
  const lines = [`node ${process.versions.modules}`];
  const visit = (path) => {
    const { size, mtimeMs } = statSync(path);
    lines.push(`${relative(root, path)} ${size} ${mtimeMs}`);
  };
  for (const folder of SOURCE_FOLDERS) if (existsSync(join(root, folder))) walk(join(root, folder), visit);
  for (const file of SOURCE_FILES) if (existsSync(join(root, file))) visit(join(root, file));
  return createHash('sha256').update(lines.sort().join('\n')).digest('hex');
}

/** @param {string} root */
function builtStamp(root) {
  const path = join(root, 'dist', STAMP);
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

/** @param {string} root */
export function buildIsCurrent(root) {
  return existsSync(join(root, 'dist/main.mjs')) && builtStamp(root) === sourceStamp(root);
}

/**
 * @param {string} path
 * @param {string | Uint8Array} contents
 */
function putInPlace(path, contents) {
  mkdirSync(dirname(path), { recursive: true });
  const fresh = `${path}.${process.pid}.new`;
  writeFileSync(fresh, contents);
  renameSync(fresh, path);
}

/**
 * @param {typeof import('esbuild')} esbuild
 * @param {string} root
 */
async function buildPrograms(esbuild, root) {
  const result = await esbuild.build({
    absWorkingDir: root,
    entryPoints: { main: 'src/main.ts', storage: 'storage/index.ts' },
    outdir: 'dist',
    outExtension: { '.js': '.mjs' },
    // Chunks lie beside the entry points, so that import.meta.url is in dist/ wherever a module ends up.
    chunkNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    packages: 'external',
    sourcemap: true,
    logLevel: 'silent',
    write: false,
  });
  return result.outputFiles.map((file) => ({ path: file.path, contents: file.contents }));
}

/**
 * @param {typeof import('esbuild')} esbuild
 * @param {string} root
 */
async function buildPage(esbuild, root) {
  const entry = join(root, WEB_CLIENT, 'main.tsx');
  if (!existsSync(entry)) return [];
  const result = await esbuild.build({
    absWorkingDir: root,
    entryPoints: { app: entry },
    outdir: 'dist/web',
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'linked',
    sourcemap: true,
    logLevel: 'silent',
    write: false,
  });
  return result.outputFiles.map((file) => ({ path: file.path, contents: file.contents }));
}

/** @param {string} root */
function copyPageFiles(root) {
  const folder = join(root, WEB_CLIENT);
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    if (!/\.(html|css|svg|ico|png)$/.test(name)) continue;
    mkdirSync(join(root, 'dist/web'), { recursive: true });
    copyFileSync(join(folder, name), join(root, 'dist/web', name));
  }
}

/**
 * @param {string} root
 * @param {ReadonlySet<string>} current names of files of this build
 */
function removeOldChunks(root, current) {
  for (const name of readdirSync(join(root, 'dist'))) {
    if (!/-[A-Z0-9]{8}\.mjs(\.map)?$/.test(name) || current.has(name)) continue;
    const path = join(root, 'dist', name);
    if (Date.now() - statSync(path).mtimeMs > OLD_CHUNK_MS) rmSync(path, { force: true });
  }
}

/** @param {unknown} failure @param {typeof import('esbuild')} esbuild */
async function explainBuildFailure(failure, esbuild) {
  if (!Array.isArray(failure?.errors)) return failure;
  const lines = await esbuild.formatMessages(failure.errors.slice(0, 5), { kind: 'error', color: false });
  process.stderr.write(lines.join(''));
  return new SetupError(
    'The sources could not be built',
    `esbuild reports ${failure.errors.length} error(s), the first of them above`,
    'correct the named lines, or go back to a released state of the sources',
    'setup_build_failed',
  );
}

/** @param {string} root */
export async function build(root) {
  const startedMs = Date.now();
  say('building dist/ from the sources');
  // Taken before the build reads the files: a change made meanwhile leads to another build, never to a stale one.
  const stamp = sourceStamp(root);
  const esbuild = await import('esbuild');
  let files;
  try {
    files = [...(await buildPage(esbuild, root)), ...(await buildPrograms(esbuild, root))];
  } catch (failure) {
    throw await explainBuildFailure(failure, esbuild);
  } finally {
    await esbuild.stop();
  }
  const isEntry = (file) => /^(main|storage)\.mjs$/.test(basename(file.path));
  for (const file of files.filter((each) => !isEntry(each))) putInPlace(file.path, file.contents);
  for (const file of files.filter(isEntry)) putInPlace(file.path, file.contents);
  copyPageFiles(root);
  putInPlace(join(root, 'dist', STAMP), stamp);
  removeOldChunks(root, new Set(files.map((file) => basename(file.path))));
  say(`build is ready (${seconds(startedMs)})`);
}
