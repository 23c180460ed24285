/**
 * What is asked of V8 where simulations run. Everything in them is lukewarm: with the flags as they are, a third of the
 * processor goes to optimising functions that are thrown away again. Histories do not depend on any of this.
 */
import { setFlagsFromString } from 'node:v8';

/** For a process of its own: fewer and larger collections of the young, by the thread that runs and no other. */
export const WORKER_FLAGS: readonly string[] = ['--max-semi-space-size=16', '--single-threaded-gc'];

/**
 * Machine code for everything at once, but the simplest; optimised later, and functions that swallow fewer others, which
 * are compiled sooner and thrown away less often. An engine that has no such flag goes on without it.
 */
const COMPILER_FLAGS: readonly string[] = [
  '--always-sparkplug',
  '--interrupt-budget=160000',
  '--max-inlined-bytecode-size-cumulative=300',
];

/** For this process, from now on. */
export function tuneCompiler(): void {
  for (const flag of COMPILER_FLAGS) setFlagsFromString(flag);
}
