import { assertName } from './exit.ts';
import {
  CHILDREN_PER_SUPERVISOR_MAX,
  DELAY_MS_MAX,
  INTENSITY_MAX,
  MAILBOX_MAX_LIMIT,
  RESTART_INTENSITY_DEFAULT,
  RESTART_PERIOD_MS_DEFAULT,
  SHUTDOWN_MS_DEFAULT,
  SUPERVISION_DEPTH_MAX,
} from './limits.ts';
import type { ChildSpec, GenServer, RestartType, Shutdown, SupervisorSpec, WorkerSpec } from './types.ts';

const STRATEGIES = new Set(['one_for_one', 'one_for_all', 'rest_for_one', 'simple_one_for_one']);
const RESTARTS = new Set(['permanent', 'transient', 'temporary']);
const CALLBACKS = ['init', 'handleCall', 'handleCast', 'handleInfo'] as const;

export interface RestartLimit {
  readonly intensity: number;
  readonly periodMs: number;
}

export function restartOf(spec: ChildSpec): RestartType {
  return spec.restart ?? 'permanent';
}

/** Five seconds for a worker; a supervisor gets all the time its own children need. */
export function shutdownOf(spec: ChildSpec): Shutdown {
  return spec.shutdown ?? (spec.type === 'supervisor' ? 'infinity' : SHUTDOWN_MS_DEFAULT);
}

export function restartLimitOf(spec: SupervisorSpec): RestartLimit {
  return {
    intensity: spec.intensity ?? RESTART_INTENSITY_DEFAULT,
    periodMs: spec.periodMs ?? RESTART_PERIOD_MS_DEFAULT,
  };
}

/**
 * A worker specification whose `args` must fit its module's `init`. The plain object does as well, without that check.
 */
export function worker<State, Args, Call, Cast, Info>(
  spec: Omit<WorkerSpec, 'module' | 'args'> & {
    readonly module: GenServer<State, Args, Call, Cast, Info>;
    readonly args: Args;
  },
): WorkerSpec {
  return spec;
}

/** Refuses a specification that cannot work before anything of it is started. */
export function checkSpec(spec: ChildSpec, depth = 0): void {
  assertName(spec.id, 'The id of a child');
  const where = `Child "${spec.id}"`;
  if (spec.register !== undefined) assertName(spec.register, `${where}: register`);
  if (spec.restart !== undefined && !RESTARTS.has(spec.restart)) {
    throw new TypeError(`${where}: restart "${spec.restart}" is unknown. Use permanent, transient or temporary.`);
  }
  checkShutdown(where, spec.shutdown);
  if (spec.type === 'supervisor') checkSupervisor(where, spec, depth);
  else checkWorker(where, spec);
}

function checkShutdown(where: string, shutdown: unknown): void {
  if (shutdown === undefined || shutdown === 'brutal_kill' || shutdown === 'infinity') return;
  if (isBetween(shutdown, 0, DELAY_MS_MAX)) return;
  throw new RangeError(`${where}: shutdown ${String(shutdown)} is unknown. Use brutal_kill, infinity or milliseconds.`);
}

function checkWorker(where: string, spec: WorkerSpec): void {
  const missing = CALLBACKS.filter((name) => typeof spec.module?.[name] !== 'function');
  if (missing.length > 0) {
    throw new TypeError(`${where}: its module lacks ${missing.join(', ')}. Pass a complete GenServer.`);
  }
  if (
    spec.mailboxMax !== undefined &&
    !(isBetween(spec.mailboxMax, 1, MAILBOX_MAX_LIMIT) && Number.isInteger(spec.mailboxMax))
  ) {
    throw new RangeError(
      `${where}: mailboxMax ${spec.mailboxMax} is not a whole number from 1 to ${MAILBOX_MAX_LIMIT}.`,
    );
  }
  if (spec.mailboxPolicy !== undefined && spec.mailboxPolicy !== 'refuse' && spec.mailboxPolicy !== 'drop_oldest') {
    throw new TypeError(`${where}: mailboxPolicy "${spec.mailboxPolicy}" is unknown. Use refuse or drop_oldest.`);
  }
}

function checkSupervisor(where: string, spec: SupervisorSpec, depth: number): void {
  if (!STRATEGIES.has(spec.strategy)) {
    throw new TypeError(`${where}: strategy "${spec.strategy}" is unknown. Use ${[...STRATEGIES].join(', ')}.`);
  }
  const limit = restartLimitOf(spec);
  if (!isBetween(limit.intensity, 0, INTENSITY_MAX) || !Number.isInteger(limit.intensity)) {
    throw new RangeError(`${where}: intensity ${limit.intensity} is not a whole number from 0 to ${INTENSITY_MAX}.`);
  }
  if (!isBetween(limit.periodMs, 1, DELAY_MS_MAX)) {
    throw new RangeError(`${where}: periodMs ${limit.periodMs} is not between 1 and ${DELAY_MS_MAX}.`);
  }
  if (depth >= SUPERVISION_DEPTH_MAX) {
    throw new RangeError(
      `${where}: more than ${SUPERVISION_DEPTH_MAX} supervisors below each other. Flatten the tree.`,
    );
  }
  if (!Array.isArray(spec.children) || spec.children.length > CHILDREN_PER_SUPERVISOR_MAX) {
    throw new RangeError(`${where}: children must be a list of at most ${CHILDREN_PER_SUPERVISOR_MAX}.`);
  }
  if (spec.strategy === 'simple_one_for_one' && spec.children.length !== 1) {
    throw new TypeError(
      `${where}: simple_one_for_one takes exactly one child, its pattern; got ${spec.children.length}.`,
    );
  }
  const ids = new Set<string>();
  for (const child of spec.children) {
    checkSpec(child, depth + 1);
    if (ids.has(child.id))
      throw new TypeError(`${where}: two children have the id "${child.id}". Ids are unique below a supervisor.`);
    ids.add(child.id);
  }
}

function isBetween(value: unknown, low: number, high: number): value is number {
  return typeof value === 'number' && value >= low && value <= high;
}
