#!/usr/bin/env node
// `npm test`: set-up, lint and format, types, then every test. The last line is `N passed, N failed`; a failed check
// counts as one failure. Further arguments go to vitest: `npm test -- test/storage`.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { say, sayFailure, seconds } from './lib/say.mjs';
import { ensureSetUp, root } from './setup.mjs';

const results = join(root, '.cache', `vitest-${process.pid}.json`);

/**
 * @param {string} command a command of the dependencies
 * @param {string[]} commandArguments
 * @returns {Promise<number>} its exit code
 */
function run(command, commandArguments) {
  return new Promise((resolve, reject) => {
    const child = spawn(join(root, 'node_modules/.bin', command), commandArguments, { cwd: root, stdio: 'inherit' });
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(signal === null ? (code ?? 1) : 1));
  });
}

/** Everything at the top but what is made here: the folders of labs (`lab.json` tells them), builds and dependencies. */
function ownPaths() {
  const made = new Set(['node_modules', 'dist', 'coverage']);
  return readdirSync(root).filter(
    (name) => !name.startsWith('.') && !made.has(name) && !existsSync(join(root, name, 'lab.json')),
  );
}

/** @param {string} title @param {string} command @param {string[]} commandArguments */
async function check(title, command, commandArguments) {
  const startedMs = Date.now();
  say(`${title} …`);
  const code = await run(command, commandArguments);
  say(code === 0 ? `${title}: good (${seconds(startedMs)})` : `${title}: FAILED (${seconds(startedMs)})`);
  return code === 0 ? 0 : 1;
}

/**
 * What vitest's report counts. A file that could not even be loaded holds no tests: it counts as one failure.
 * @returns {{ passed: number, failed: number }}
 */
function countResults() {
  if (!existsSync(results)) return { passed: 0, failed: 0 };
  const report = JSON.parse(readFileSync(results, 'utf8'));
  rmSync(results, { force: true });
  const broken = report.testResults.filter((file) => file.status === 'failed' && !file.assertionResults.some(isFailed));
  for (const file of broken) say(`${file.name} failed outside its tests: ${file.message ?? 'no message'}`);
  return { passed: report.numPassedTests, failed: report.numFailedTests + broken.length };
}

/** @param {{ status: string }} assertion */
function isFailed(assertion) {
  return assertion.status === 'failed';
}

async function main() {
  await ensureSetUp();
  mkdirSync(join(root, '.cache'), { recursive: true });
  const failedChecks =
    (await check('lint and format', 'biome', ['check', '--files-ignore-unknown=true', ...ownPaths()])) +
    (await check('types', 'tsc', ['--noEmit']));
  say('tests …');
  const code = await run('vitest', [
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${results}`,
    ...process.argv.slice(2),
  ]);
  const counted = countResults();
  let failed = counted.failed + failedChecks;
  if (failedChecks > 0) say(`${failedChecks} check(s) before the tests FAILED, see above`);
  if (code !== 0 && counted.failed === 0) {
    failed += 1;
    say(`vitest ended with code ${code} although no test failed (an unhandled error, or no test was found), see above`);
  }
  process.stdout.write(`${counted.passed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (failure) {
  const code = sayFailure(failure);
  process.stdout.write('0 passed, 1 failed\n');
  process.exitCode = code;
}
