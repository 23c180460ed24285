/** Waiting for something that has no event of its own. */
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 5;

/** @throws Error that says what was waited for */
export async function until(what: string, timeoutMs: number, check: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!(await check())) {
    if (performance.now() > endMs) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await sleep(POLL_MS);
  }
}
