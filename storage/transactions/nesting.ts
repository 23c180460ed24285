/**
 * Which transaction's function the code that runs now belongs to, through its awaits too. A transaction begun inside
 * another's function would be made even if the outer one is not, and one that writes what the outer one read would make
 * it run for ever.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { type RunOwner, TransactionContext, type TransactionRun } from './run.ts';

interface Scope {
  readonly run: TransactionRun;
  readonly generation: number;
  readonly outer: Scope | undefined;
}

const scopes = new AsyncLocalStorage<Scope>();
const AsyncFunction = (async () => undefined).constructor;

/**
 * Calls the function of a run. What a plain function awaits by hand, through promises of its own, is not known here: to
 * follow those too every promise of the program would have to be watched, whether it ever used an async function or not.
 */
export function callFunction(run: TransactionRun): unknown {
  const context = new TransactionContext(run);
  if (!(run.run instanceof AsyncFunction)) return run.run(context);
  return scopes.run({ run, generation: run.generation, outer: running(scopes.getStore()) }, run.run, context);
}

/** Whether this code is inside the function of a transaction of that coordinator. */
export function isInside(owner: RunOwner): boolean {
  let scope = running(scopes.getStore());
  while (scope !== undefined && scope.run.owner !== owner) scope = running(scope.outer);
  return scope !== undefined;
}

/** The innermost function that has not ended yet: what it left behind may go on in its scope, and is nobody's inside. */
function running(scope: Scope | undefined): Scope | undefined {
  while (scope !== undefined && (scope.run.generation !== scope.generation || scope.run.state !== 'running'))
    scope = scope.outer;
  return scope;
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
