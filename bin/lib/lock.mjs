// Only one set-up at a time works on this directory. The lock is a directory, because mkdir is atomic everywhere; it
// names its owner, so that a lock left by a killed process is known for what it is.
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SetupError, say } from './say.mjs';

const RETRY_MS = 100;
const WAIT_MS_MAX = 600_000;
/** mkdir and the owner's file are two steps: a lock without an owner is young, or its maker died between them. */
const OWNERLESS_MS_MAX = 5_000;

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (failure) {
    return failure.code === 'EPERM';
  }
}

/** @param {string} path */
function readIfThere(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch (failure) {
    if (failure.code === 'ENOENT') return undefined;
    throw failure;
  }
}

/** @param {string} path */
function ageMs(path) {
  try {
    return Date.now() - statSync(path).mtimeMs;
  } catch (failure) {
    if (failure.code === 'ENOENT') return 0;
    throw failure;
  }
}

/**
 * @param {string} lock
 * @returns {{ pid: number | undefined, stale: boolean }}
 */
function holderOf(lock) {
  const text = readIfThere(join(lock, 'owner'));
  const pid = text === undefined ? Number.NaN : Number.parseInt(text, 10);
  if (!Number.isInteger(pid)) return { pid: undefined, stale: ageMs(lock) > OWNERLESS_MS_MAX };
  return { pid, stale: !isAlive(pid) };
}

/** @param {string} lock */
function tryTake(lock) {
  try {
    mkdirSync(lock);
  } catch (failure) {
    if (failure.code === 'EEXIST') return false;
    throw failure;
  }
  writeFileSync(join(lock, 'owner'), String(process.pid));
  return true;
}

/**
 * Runs `work` while holding `lock`. `purpose` completes "waiting for process 123, which …".
 * @template T
 * @param {string} lock
 * @param {string} purpose
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(lock, purpose, work) {
  mkdirSync(dirname(lock), { recursive: true });
  const deadlineMs = Date.now() + WAIT_MS_MAX;
  let told = false;
  while (!tryTake(lock)) {
    const { pid, stale } = holderOf(lock);
    if (stale) {
      // Two waiters may both see it stale; the second removal then hits a lock that was just taken, whose owner file
      // is younger. Removing only what still names the dead process keeps that from happening.
      if (holderOf(lock).pid === pid) rmSync(lock, { recursive: true, force: true });
      continue;
    }
    if (!told) say(`waiting for process ${pid ?? '(unknown)'}, which ${purpose}`);
    told = true;
    if (Date.now() > deadlineMs) {
      throw new SetupError(
        'Set-up did not begin',
        `process ${pid ?? '(unknown)'} has held ${lock} for ${WAIT_MS_MAX / 60_000} minutes`,
        'end that process, or remove that directory if no set-up runs',
        'setup_locked',
      );
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}
