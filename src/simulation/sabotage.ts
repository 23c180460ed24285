/**
 * Ways to break the database on purpose. A checker that has never caught anything proves nothing, so each is shown a
 * protocol that is broken in the way it exists to find. A switch is a change of source text, made while a copy of
 * storage/ is bundled (see sabotaged-bundle.ts): the code that ships has no hooks for it.
 */

export interface SourceEdit {
  /** Path from the root of the project. */
  readonly file: string;
  /** Found exactly once in the file, or the switch is refused. */
  readonly text: string;
  readonly replacement: string;
}

export interface Sabotage {
  readonly name: string;
  readonly breaks: string;
  readonly edits: readonly SourceEdit[];
  /** Checkers of which at least one must catch it. */
  readonly caughtBy: readonly string[];
  /** Faults under which it shows; drawn from the seed when absent. */
  readonly profile?: string;
  /** The first seed that showed it when this was written: looked at first, all others up to `SABOTAGE_SEEDS_MAX` after it. */
  readonly seed: number;
}

/** A switch must be caught within so many seeds. */
export const SABOTAGE_SEEDS_MAX = 200;

const COMMITTER = 'storage/transactions/committer.ts';
const PROPOSALS = 'storage/transactions/proposals.ts';
const PARTICIPANT = 'storage/transactions/participant.ts';
const SETTLING = 'storage/transactions/settling.ts';
const RUN = 'storage/transactions/run.ts';

export const SABOTAGES: readonly Sabotage[] = [
  {
    name: 'lost-ack',
    breaks: 'a transaction is answered when it is proposed, before anybody has promised to keep it',
    edits: [
      {
        file: COMMITTER,
        text: "node.environment.probe('commit.after_prepare_sent');",
        replacement: "node.environment.probe('commit.after_prepare_sent'); run.resolve(run.value);",
      },
    ],
    caughtBy: ['nothing acknowledged missing'],
    seed: 1,
  },
  {
    name: 'dirty-read',
    breaks: 'a read sees what another transaction has only proposed, and may yet take back',
    edits: [
      {
        file: RUN,
        text: "import type { Row, Token } from '../tables/row.ts';",
        replacement: "import { Row, type Token } from '../tables/row.ts';",
      },
      {
        file: RUN,
        text: 'if (table.locks.writerOf(token) !== undefined) this.#blocked(run, table, token);',
        replacement: `const writer = table.locks.writerOf(token);
    if (writer !== undefined && writer.writes?.[0] instanceof WriteOperation) this.#blocked(run, table, token);
    if (writer !== undefined) {
      for (const write of writer.writes) {
        if (write.table !== table || write.token !== token) continue;
        return write.bytes === undefined ? undefined : new Row(key, token, writer.hlc, writer.node, undefined, write.bytes);
      }
    }`,
      },
    ],
    caughtBy: ['nothing of failures', 'lists strictly serializable', 'islands strictly serializable'],
    seed: 9,
  },
  {
    name: 'lost-update',
    breaks: 'a commit does not look whether what it read has changed since',
    edits: [
      {
        file: COMMITTER,
        text: 'if (!table.held || table.rows.get(token) !== row) return this.#blocked(run, undefined, undefined);',
        replacement: 'if (!table.held) return this.#blocked(run, undefined, undefined);',
      },
    ],
    caughtBy: ['counters exact', 'bank sum', 'lists strictly serializable'],
    profile: 'lists',
    seed: 1,
  },
  {
    name: 'write-skew',
    breaks: 'what a transaction read is not locked while it is being committed',
    edits: [
      {
        file: COMMITTER,
        text: 'if (remote === undefined) table.locks.lockRead(token, run);',
        replacement: '{}',
      },
    ],
    caughtBy: ['lists strictly serializable', 'rows strictly serializable', 'islands strictly serializable'],
    profile: 'lists',
    seed: 1,
  },
  {
    name: 'long-fork',
    breaks: 'a read does not wait for a row that is being committed, so two nodes see two commits in different order',
    edits: [
      {
        file: RUN,
        text: 'if (table.locks.writerOf(token) !== undefined) this.#blocked(run, table, token);',
        replacement: '',
      },
      {
        file: COMMITTER,
        text: 'if (writer !== undefined) return this.#blocked(run, table, token);',
        replacement: 'if (writer !== undefined && run.writes.length > 0) return this.#blocked(run, table, token);',
      },
    ],
    caughtBy: ['lists strictly serializable', 'islands strictly serializable', 'rows strictly serializable'],
    profile: 'lists',
    seed: 1,
  },
  {
    name: 'resurrected-delete',
    breaks: 'a delete leaves no trace for the replicas that were away',
    edits: [
      {
        file: 'storage/replication/delta.ts',
        text: 'if (deleted === undefined || deleted.deletedHlc === 0) return undefined;',
        replacement: 'if (deleted === undefined || deleted.deletedHlc > 0) return undefined;',
      },
    ],
    caughtBy: ['nothing acknowledged missing'],
    seed: 4,
  },
  {
    name: 'half-applied',
    breaks: 'of a transaction that writes several rows the last is left out, on every replica',
    edits: [
      {
        file: PROPOSALS,
        text: 'this.#varint(run.writes.length);\n    for (const write of run.writes) this.#write(message, write);',
        replacement: `const kept = run.writes.slice(0, Math.max(1, run.writes.length - 1));
    this.#varint(kept.length);
    for (const write of kept) this.#write(message, write);`,
      },
      {
        file: COMMITTER,
        text: 'for (const { table, key, token, value, deleted, bytes } of run.writes) {',
        replacement:
          'for (const { table, key, token, value, deleted, bytes } of run.writes.slice(0, Math.max(1, run.writes.length - 1))) {',
      },
    ],
    caughtBy: ['pairs whole'],
    seed: 2,
  },
  {
    name: 'kept-tombstones',
    breaks: 'what the disc says of a delete is never taken off it',
    edits: [
      {
        file: 'storage/disc/stored-rows.ts',
        text: 'if (tombstone?.hlc === hlc && tombstone.node === node) this.drop(table, tombstone.key, token);',
        replacement: '',
      },
    ],
    caughtBy: ['nothing left behind'],
    seed: 1,
  },
  {
    name: 'leaked-lock',
    breaks: 'a participant keeps the locks of a transaction that was taken back',
    edits: [
      {
        file: PARTICIPANT,
        text: "if (prepared.state === 'prepared' || prepared.state === 'orphaned') this.#unlock(prepared);",
        replacement: '',
      },
    ],
    caughtBy: ['nothing left behind', 'liveness'],
    seed: 1,
  },
  {
    name: 'double-apply',
    breaks: 'a transaction that met a conflict is committed, and then once more',
    edits: [
      {
        file: COMMITTER,
        text: "if (run.state !== 'deciding') return;\n    this.#keeper.finish(run);",
        replacement:
          "if (run.state !== 'deciding') return;\n    if (run.reruns === 1) { run.reruns += 1; return this.#keeper.begin(run); }\n    this.#keeper.finish(run);",
      },
    ],
    caughtBy: ['counters exact', 'nothing of failures'],
    seed: 2,
  },
  {
    name: 'minority-settles',
    breaks: 'survivors settle what a lost coordinator left behind without asking how many they are',
    edits: [
      {
        file: SETTLING,
        text: 'if (!isLast && !quorums.isMajority(this.sure())) return undefined;',
        replacement: '',
      },
      {
        file: SETTLING,
        text: 'return (isLast || quorums.isMajority(backing)) && quorums.keepAll(backing) ? true : undefined;',
        replacement: 'return true;',
      },
      {
        file: SETTLING,
        text: 'if (quorums.isMajority(sure.filter((node) => this.accepting.includes(node)))) return true;',
        replacement: 'return true;',
      },
    ],
    caughtBy: ['nothing of failures', 'lists strictly serializable', 'nothing acknowledged missing'],
    profile: 'majority',
    seed: 68,
  },
  {
    name: 'majority-of-itself',
    breaks: 'a node that has met nobody does not count those it is configured with',
    edits: [
      {
        file: 'storage/node-state.ts',
        text: 'return configured.filter((name) => !met.has(name));',
        replacement: 'return [];',
      },
    ],
    caughtBy: ['lists strictly serializable', 'counters exact', 'nothing acknowledged missing'],
    profile: 'growing',
    seed: 2,
  },
  {
    name: 'old-majority-read',
    breaks: 'a read that asked for a majority is answered from the local replica',
    edits: [
      {
        file: RUN,
        text: "this.#row(tableName, key, level === 'majority')",
        replacement: 'this.#row(tableName, key, false)',
      },
    ],
    caughtBy: ['lists strictly serializable'],
    profile: 'majority',
    seed: 1,
  },
  {
    name: 'stale-replica',
    breaks: 'a node that starts serves what its disc holds without asking those that went on',
    edits: [
      {
        file: 'storage/replication/loader.ts',
        text: 'if (this.awaiting(table).length > 0) continue;',
        replacement: '',
      },
    ],
    caughtBy: ['lists strictly serializable', 'islands strictly serializable', 'rows strictly serializable'],
    seed: 16,
  },
  {
    name: 'deaf-to-dirty',
    breaks: 'a node says that it has what others wrote dirty, and does not take it',
    edits: [
      {
        file: 'storage/transactions/dirty.ts',
        text: 'if (!isUnknown) for (const write of writes) this.#take(from, writer, version, message[1], write);',
        replacement: 'if (isUnknown) for (const write of writes) this.#take(from, writer, version, message[1], write);',
      },
    ],
    caughtBy: ['nothing acknowledged missing', 'replicas equal'],
    profile: 'dirty writers',
    seed: 1,
  },
  {
    name: 'late-dirty',
    breaks: 'a dirty change that comes late takes the place of a newer row',
    edits: [
      {
        file: 'storage/transactions/dirty.ts',
        text: 'if (table.isOvertaken(token, version, writer)) return;',
        replacement: '',
      },
    ],
    caughtBy: ['versions rise'],
    profile: 'dirty writers',
    seed: 1,
  },
];

export function sabotageNamed(name: string): Sabotage {
  const found = SABOTAGES.find((sabotage) => sabotage.name === name);
  if (found) return found;
  const names = SABOTAGES.map((sabotage) => sabotage.name).join(', ');
  throw new RangeError(`There is no way to break the database named "${name}". Choose one of: ${names}.`);
}

/** @throws RangeError naming the file and the text when the source is no longer what the edit was written for */
export function editSource(file: string, source: string, edits: readonly SourceEdit[]): string {
  let edited = source;
  for (const { text, replacement } of edits.filter((edit) => edit.file === file)) {
    const times = edited.split(text).length - 1;
    if (times !== 1) {
      throw new RangeError(
        `The text to break is in ${file} ${times} times, not once: "${text}". The source has changed: change src/simulation/sabotage.ts with it.`,
      );
    }
    edited = edited.replace(text, () => replacement);
  }
  return edited;
}
