import type { ChildSpec, Pid, RestartType } from './types.ts';

/** What a supervisor may be called with, by a worker process or through ActorSystem, from its own node only. */
export type SupervisorRequest =
  | { readonly type: 'startChild'; readonly child: ChildSpec | { readonly args: unknown } }
  | { readonly type: 'terminateChild'; readonly child: string | Pid }
  | { readonly type: 'restartChild'; readonly id: string }
  | { readonly type: 'deleteChild'; readonly id: string }
  | { readonly type: 'whichChildren' }
  | { readonly type: 'countChildren' };

/** Answer to `whichChildren`. */
export interface ChildRow {
  readonly id: string;
  readonly pid: Pid | 'restarting' | undefined;
  readonly type: 'worker' | 'supervisor';
  readonly restart: RestartType;
}

/** Answer to `countChildren`. */
export interface ChildCount {
  readonly specs: number;
  readonly active: number;
  readonly supervisors: number;
  readonly workers: number;
}

/** Answers the new child's pid. */
export function startChild(child: ChildSpec | { readonly args: unknown }): SupervisorRequest {
  return { type: 'startChild', child };
}

export function terminateChild(child: string | Pid): SupervisorRequest {
  return { type: 'terminateChild', child };
}

/** Answers the new process's pid. */
export function restartChild(id: string): SupervisorRequest {
  return { type: 'restartChild', id };
}

export function deleteChild(id: string): SupervisorRequest {
  return { type: 'deleteChild', id };
}

/** Answers a list of `ChildRow`, in start order. */
export function whichChildren(): SupervisorRequest {
  return { type: 'whichChildren' };
}

/** Answers a `ChildCount`. */
export function countChildren(): SupervisorRequest {
  return { type: 'countChildren' };
}

const REQUESTS = new Set([
  'startChild',
  'terminateChild',
  'restartChild',
  'deleteChild',
  'whichChildren',
  'countChildren',
]);

export function isSupervisorRequest(value: unknown): value is SupervisorRequest {
  if (typeof value !== 'object' || value === null || !('type' in value)) return false;
  return typeof value.type === 'string' && REQUESTS.has(value.type);
}
