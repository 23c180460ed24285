/**
 * What each message must look like before anything is done with it: whatever arrives, it has its effect wholly or not at
 * all, and a peer that sends something else loses that link and nothing more. What a row's octets hold is not read here.
 */
import { BUCKETS, OCTETS_PER_BUCKET } from '../tables/digest.ts';
import { checkKey } from '../term.ts';
import { Kind } from './messages.ts';

type Check = (part: unknown) => boolean;

/** Above every key a node takes from its callers, however its limits are set; a frame is shorter. */
const KEY_BYTES_MAX = Number.MAX_SAFE_INTEGER;
/** No clock is there for thousands of years of ticks; one that was could never tick again. */
const MOMENT_MAX = Number.MAX_SAFE_INTEGER - 2 ** 42;

/** More than a node keeps prepared for one coordinator. */
const RUN_MAX = 2 ** 17;

const text: Check = (part) => typeof part === 'string';
const flag: Check = (part) => typeof part === 'boolean';
const octets: Check = (part) => part instanceof Uint8Array;
const count: Check = (part) => Number.isSafeInteger(part) && (part as number) >= 0;
const moment: Check = (part) => typeof part === 'number' && part >= 0 && part <= MOMENT_MAX;
const orNull =
  (check: Check): Check =>
  (part) =>
    part === null || check(part);

const optional =
  (check: Check): Check =>
  (part) =>
    part === undefined || part === null || check(part);

function key(part: unknown): boolean {
  try {
    checkKey('', part, KEY_BYTES_MAX);
    return true;
  } catch (error) {
    if (error instanceof Error) return false;
    throw error;
  }
}

/** Every element alike. */
function list(check: Check): Check {
  return (part) => Array.isArray(part) && part.every(check);
}

/** These elements, and perhaps more after them. */
function tuple(...checks: Check[]): Check {
  return (part) =>
    Array.isArray(part) && part.length >= checks.length && checks.every((check, index) => check(part[index]));
}

function record(fields: Readonly<Record<string, Check>>): Check {
  const entries = Object.entries(fields);
  return (part) => {
    if (typeof part !== 'object' || part === null) return false;
    return entries.every(([name, check]) => check((part as Record<string, unknown>)[name]));
  };
}

const bytes = orNull(octets);
const rule: Check = (part) => text(part) || record({ function: text })(part);
const nodes = list(text);
const loadOrder: Check = (part) => Number.isSafeInteger(part);
const table = record({
  name: text,
  cookies: (part) => list(text)(part) && (part as unknown[]).length > 0,
  replicas: list(tuple(text, text)),
  localContent: flag,
  merge: rule,
  ownerField: orNull(text),
  loadOrder,
  majority: flag,
  deletedAt: moment,
  createdAt: moment,
  dead: optional(list(tuple(text, moment))),
  moves: optional(list(tuple(text, moment, orNull(text)))),
  born: optional(list(tuple(text, moment))),
  formers: optional(list(nodes)),
  accessMode: optional(text),
  userProperties: optional(list(tuple(text, octets))),
  histories: optional(list(tuple(text, octets, list(text)))),
});
const lives = list(tuple(text, moment, moment));
/** Or SEEN_UNKNOWN. */
const threshold: Check = (part) => part === -1 || moment(part);
const seen = list(tuple(text, threshold, text));
const outsiders = list(tuple(text, key, threshold, text, moment, text));
const collapsed = list(tuple(text, text, moment, flag));
/** A power of two. */
const bucketCount: Check = (part) =>
  count(part) && Number.isInteger(Math.log2(part as number)) && (part as number) <= BUCKETS;
const bucketDigests: Check = (part) => octets(part) && bucketCount((part as Uint8Array).length / OCTETS_PER_BUCKET);
const buckets: Check = (part) => octets(part) && bucketCount((part as Uint8Array).length);

const changes = list(tuple(text, text, bytes, moment, text));

/** As in guards.ts. */
const promisedRow = tuple(text, key, moment, text);

const report = record({
  name: text,
  view: nodes,
  downs: nodes,
  went: list(tuple(text, moment)),
  schema: list(table),
  replicas: list(tuple(text, flag, flag, text, count, flag, text)),
  // Unlimited once the node was merged with others.
  storedHlc: count,
  retired: nodes,
  acknowledged: list(tuple(text, moment)),
  lives,
  collapsed,
  changes,
  removed: nodes,
  withoutMajority: nodes,
  forced: list(text),
  forgetful: list(text),
  promised: list(text),
  orphans: list(promisedRow),
});

const stageHead = record({
  schema: list(table),
  loaded: list(text),
  unloaded: list(text),
  rootless: list(text),
  hlc: moment,
  overtaken: list(tuple(text, text)),
  conflicts: count,
  rows: count,
  reset: list(tuple(text, nodes)),
  retired: nodes,
  removed: nodes,
  lives,
  collapsed,
  guarded: list(tuple(text, promisedRow)),
});

/** A NumbersMessage: a first place, then numbers and how many follow each. */
const runs: Check = (part) => {
  const message = part as readonly unknown[];
  return (
    message.length % 2 === 0 &&
    message.every(count) &&
    message.every((each, at) => at < 3 || at % 2 === 0 || (each as number) <= RUN_MAX)
  );
};

/** As in promises.ts. */
const promise = tuple(
  text,
  count,
  moment,
  nodes,
  list(tuple(text, key, bytes)),
  list(tuple(text, key, moment, text, orNull(text))),
  moment,
  count,
  flag,
  tuple(moment, text),
  orNull(tuple(moment, text, flag)),
);

/** The parts of each message after its kind, or what is asked of the message as a whole. */
const SHAPES: Readonly<Record<keyof typeof Kind, readonly Check[] | Check>> = {
  // The octets are read whole by ProposalReader, before the first of them is considered.
  prepare: [nodes, list(text), count, octets],
  dirty: [nodes, list(text), count, octets, text],
  fence: [count],
  vote: [count, count, count, count],
  commit: runs,
  yes: runs,
  abort: [count],
  applied: [count],
  prepareAgain: [count, count, nodes],
  // A transaction that only confirms what it read has no first write to name.
  ask: [text, count, optional(text), optional(key), moment],
  tell: [text, count, count],
  read: [count, text, key],
  readReply: [count, flag, moment, text, bytes],
  tick: [text, flag, nodes, nodes, nodes, moment, moment],
  exclude: [],
  freeze: [count],
  frozen: [count, report],
  refuse: [count, text],
  delta: [count, text, flag, orNull(buckets)],
  buckets: [count, text, bucketCount],
  bucketDigests: [count, text, bucketDigests],
  deltaRows: [count, orNull(text), list(tuple(key, moment, text, bytes, seen)), outsiders, flag],
  stage: [count, orNull(stageHead), orNull(text), list(tuple(key, moment, text, bytes, flag)), outsiders, flag],
  staged: [count, list(tuple(text, text))],
  merge: [count],
  merged: [count],
  mergeDone: [count, nodes],
  // With what the sides differ in, when that is why.
  mergeAbort: [count, optional(tuple(text, text, nodes))],
  nudge: [],
  mergeAsk: [text, count],
  mergeTell: [text, count, flag],
  resolve: [text, count, flag, nodes],
  // Coordinator, number, moment, version, tables; of an answer what is known, round, participants, what was
  // accepted, and whether its word counts.
  ballot: [text, count, moment, moment, nodes, nodes],
  balloted: [text, count, moment, count, count, nodes, moment, text, flag, flag],
  accept: [text, count, moment, flag],
  accepted: [text, count, moment],
  aborted: [count, count],
  handover: [text, count, moment, nodes, orNull(promise)],
  handedOver: [text, count, moment, count],
  unguarded: [moment, list(tuple(text, key))],
  survey: [count, nodes],
  surveyed: [count, report],
  deltaAgain: [count],
  deltaTaken: [count],
  stageTaken: [count, flag, count],
  copying: [count],
  removed: [nodes, nodes],
};

const BY_KIND = new Map<unknown, { name: string; checks: readonly Check[] | Check }>(
  Object.entries(Kind).map(([name, kind]) => [kind, { name, checks: SHAPES[name as keyof typeof Kind] }]),
);

/** @throws TypeError that says what is wrong with it, when this is no batch as databases send them */
export function checkBatch(
  batch: unknown,
): asserts batch is [moment: number, ...messages: [kind: number, ...unknown[]][]] {
  if (!Array.isArray(batch)) throw new TypeError(`a batch is an array, not ${kindOf(batch)}`);
  if (!moment(batch[0])) throw new TypeError(`a batch begins with its time, not ${kindOf(batch[0])}`);
  for (let index = 1; index < batch.length; index++) checkMessage(batch[index]);
}

function checkMessage(message: unknown): void {
  if (!Array.isArray(message)) throw new TypeError(`a message is an array, not ${kindOf(message)}`);
  const shape = BY_KIND.get(message[0]);
  if (shape === undefined) throw new TypeError(`unknown kind of message: ${kindOf(message[0])}`);
  const { name, checks } = shape;
  if (typeof checks === 'function') {
    if (!checks(message)) throw new TypeError(`${name} does not hold numbers as it must`);
    return;
  }
  for (let index = 0; index < checks.length; index++) {
    const part: unknown = message[index + 1];
    if (!(checks[index] as Check)(part)) throw new TypeError(`part ${index + 1} of ${name} cannot be ${kindOf(part)}`);
  }
}

function kindOf(part: unknown): string {
  if (part === null || typeof part === 'number' || typeof part === 'boolean') return String(part);
  return Array.isArray(part) ? `an array of ${part.length}` : typeof part;
}
