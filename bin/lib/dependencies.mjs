// Makes sure that node_modules holds what package-lock.json names, and says what it waits for when it must fetch.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError, say, seconds } from './say.mjs';

const RECORD = '.peerage-lock-hash';
const OUTPUT_CHARS_MAX = 4_000;

/** @param {string} root */
function lockHash(root) {
  return createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
}

/** @param {string} path */
function readIfThere(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

/**
 * Whether what npm recorded as installed is what the lock file names. Only asked when our own record is missing or
 * old, e.g. after a person ran `npm ci` by hand.
 * @param {string} root
 */
function installedMatchesLock(root) {
  const recorded = readIfThere(join(root, 'node_modules/.package-lock.json'));
  if (recorded === undefined) return false;
  const installed = JSON.parse(recorded).packages;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true;
    const present = installed[path];
    if (present === undefined) return entry.optional === true;
    return present.version === entry.version && present.integrity === entry.integrity;
  });
}

/**
 * True when nothing must be fetched. Cheap when our record fits: one read and one hash.
 * @param {string} root
 */
export function dependenciesAreThere(root) {
  const recordPath = join(root, 'node_modules', RECORD);
  const hash = lockHash(root);
  if (readIfThere(recordPath) === hash) return true;
  if (!installedMatchesLock(root)) return false;
  writeFileSync(recordPath, hash);
  return true;
}

/**
 * @param {string} root
 * @returns {Promise<{ code: number, output: string }>}
 */
function runNpmCi(root) {
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  return new Promise((resolve, reject) => {
    const child = spawn(npm, ['ci', '--include=dev', '--no-fund', '--no-audit'], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: process.platform === 'win32',
    });
    let output = '';
    const keep = (chunk) => {
      output = (output + chunk).slice(-OUTPUT_CHARS_MAX);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (failure) => {
      if (failure.code !== 'ENOENT') return reject(failure);
      reject(
        new SetupError(
          'The dependencies cannot be installed',
          'the command npm was not found on PATH',
          'install npm (it comes with Node.js 20.19 or newer), then run this again',
          'setup_npm_missing',
        ),
      );
    });
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

/** @param {string} root */
export async function installDependencies(root) {
  const startedMs = Date.now();
  say('installing the dependencies named in package-lock.json (npm ci); this needs the package registry once');
  const ticker = setInterval(() => say(`still waiting for npm ci, ${seconds(startedMs)} so far`), 10_000);
  let result;
  try {
    result = await runNpmCi(root);
  } finally {
    clearInterval(ticker);
  }
  if (result.code !== 0) {
    process.stderr.write(`${result.output.trimEnd()}\n`);
    throw new SetupError(
      'The dependencies could not be installed',
      `npm ci ended with code ${result.code}, its last lines stand above`,
      'check the connection to your package registry, then run this again',
      'setup_npm_failed',
    );
  }
  writeFileSync(join(root, 'node_modules', RECORD), lockHash(root));
  linkCommand(root);
  say(`dependencies are installed (${seconds(startedMs)})`);
}

/**
 * Puts `peerage` beside the commands of the dependencies, so that `npx peerage` in this directory finds it at once
 * instead of preparing a copy of this package in npm's cache first.
 * @param {string} root
 */
export function linkCommand(root) {
  const folder = join(root, 'node_modules/.bin');
  const link = join(folder, 'peerage');
  if (process.platform === 'win32' || existsSync(link)) return;
  mkdirSync(folder, { recursive: true });
  try {
    symlinkSync('../../bin/peerage.mjs', link);
  } catch (failure) {
    // Another set-up was faster, or the disc knows no links: npx then takes its slower way.
    if (failure.code !== 'EEXIST' && failure.code !== 'EPERM') throw failure;
  }
}
