import { expect, test } from 'vitest';
import { type CdbtableArgs, cdbtable, type TableRequest } from '../../../actors/index.ts';
import { StorageError } from '../../../storage/errors.ts';
import type { Key, TableEvent, Transaction, Value } from '../../../storage/index.ts';
import { asker, body, context, fakeWorker, ofType, records } from './support.ts';

/** A table in memory whose transactions write at once. */
function memory(rows: ReadonlyMap<string, Value> = new Map()) {
  const content = new Map(rows);
  const writes: string[] = [];
  const tx = {
    read: (_table: string, key: Key) => content.get(String(key)),
    has: (_table: string, key: Key) => content.has(String(key)),
    allKeys: () => [...content.keys()],
    write: (_table: string, key: Key, value: Value) => {
      writes.push(String(key));
      content.set(String(key), value);
    },
    delete: (_table: string, key: Key) => {
      writes.push(`-${String(key)}`);
      content.delete(String(key));
    },
  } as unknown as Transaction;
  const transaction = async <T>(run: (tx: Transaction) => T | Promise<T>) => run(tx);
  return { content, writes, database: { transaction } };
}

function args(over: Partial<CdbtableArgs> = {}): CdbtableArgs {
  return {
    table: 'clusterConfiguration',
    database: memory().database,
    subscribers: ['databasemanager', 'peernameresolver'],
    announceInserts: true,
    changes: 'items',
    isItem: (key) => key !== 'pending_change',
    ...over,
  };
}

const started = (over: Partial<CdbtableArgs> = {}) => cdbtable.init(args(over), context('<0.345.0>')).state;
const insert = (key: string, value: Value): TableRequest => ({ type: 'insert', rows: [{ key, value }] });
const written = (key: Key, oldValue: Value, value: Value): TableEvent => ({
  type: 'write',
  table: 'clusterConfiguration',
  key,
  value,
  oldValue,
  version: { hlc: 1, node: 'n1' },
  origin: 'local',
});
const done = { type: 'worker', name: 'write', pid: context().self, ok: true, value: undefined } as const;
const bodies = (effects: Parameters<typeof records>[0]) => records(effects).map((record) => body(record, 0));

test('E145 an insert logs L20 with the table’s own pid, then runs in a worker', async () => {
  const table = memory();
  const next = cdbtable.handleCall(
    insert('tls_verify', 'Enforcing'),
    asker,
    started({ database: table.database }),
    context('<0.345.0>'),
  );
  expect(bodies(next.effects)).toEqual([
    'expc01 UTCTime="1970-01-01 00:00:00,000" Module="developer.cdbtable.cdb.clusterConfiguration" Level="DEBUG" Node="clusterdb@expc01.apolo.local" PID="<0.345.0>" Detail="Inserting into table" TableName="clusterConfiguration"',
  ]);
  await ofType(next.effects, 'run')[0]?.work(fakeWorker().worker);
  expect(table.content.get('tls_verify')).toBe('Enforcing');
  const answered = cdbtable.handleInfo(done, next.state, context());
  expect(ofType(answered.effects, 'reply')).toEqual([{ type: 'reply', to: asker, value: { ok: true } }]);
});

test('E146 an applied change logs L21 and goes to the subscribers after its line', () => {
  const event = written('tls_verify', 'Permissive', 'Enforcing');
  const next = cdbtable.handleInfo({ ...event, origin: 'remote' }, started(), context('<0.390.0>'));
  expect(bodies(next.effects)).toEqual([
    'expc01 UTCTime="1970-01-01 00:00:00,000" Event="System Configuration Changed" Node="clusterdb@expc01.apolo.local" PID="<0.390.0>" Detail="xconfiguration clusterConfiguration tls_verify - changed from: Permissive to: Enforcing"',
  ]);
  expect(next.effects?.map((effect) => effect.type)).toEqual(['log', 'send', 'send']);
  expect(ofType(next.effects, 'send').map(({ to }) => to)).toEqual(['databasemanager', 'peernameresolver']);
});

test('E145 of a change asked for here the subscribers hear after whoever asked was answered', () => {
  const { state } = cdbtable.handleCall(insert('tls_verify', 'Enforcing'), asker, started(), context());
  const applied = cdbtable.handleInfo(written('tls_verify', 'Permissive', 'Enforcing'), state, context());
  expect(applied.effects?.map((effect) => effect.type)).toEqual(['log']);
  const answered = cdbtable.handleInfo(done, applied.state, context());
  expect(answered.effects?.map((effect) => effect.type)).toEqual(['reply', 'send', 'send']);
  const remote = { ...written('tls_verify', 'Enforcing', 'Permissive'), origin: 'remote' } as const;
  const other = cdbtable.handleInfo(remote, applied.state, context());
  expect(other.effects?.map((effect) => effect.type)).toEqual(['log', 'send', 'send']);
});

test('a write that failed after it was applied here keeps nothing from the subscribers', () => {
  const { state } = cdbtable.handleCall(insert('a', 1), asker, started(), context());
  const applied = cdbtable.handleInfo(written('a', 0, 1), state, context());
  const failed = cdbtable.handleInfo({ ...done, ok: false, reason: 'killed' }, applied.state, context());
  expect(ofType(failed.effects, 'send').map(({ to }) => to)).toEqual(['databasemanager', 'peernameresolver']);
});

test('E145 the record of a pending change is no item of the operator: no L21, and the subscribers hear of it', () => {
  const next = cdbtable.handleInfo(written('pending_change', undefined, { item: 'tls_verify' }), started(), context());
  expect(records(next.effects)).toEqual([]);
  expect(ofType(next.effects, 'send')).toHaveLength(2);
});

test('a row written again with the value it had is no change', () => {
  const next = cdbtable.handleInfo(written('mapping', { b: 1, a: [2] }, { a: [2], b: 1 }), started(), context());
  expect(records(next.effects)).toEqual([]);
});

test('E145 each row of alternatesConfiguration is logged as changed, whatever was in it, and no L20', () => {
  const state = started({ table: 'alternatesConfiguration', changes: 'table', announceInserts: false });
  expect(records(cdbtable.handleCast(insert('1', 'a'), state, context()).effects)).toEqual([]);
  const next = cdbtable.handleInfo(written(1, 'same', 'same'), state, context('<0.557.0>'));
  expect(bodies(next.effects)[0]).toContain('Detail="xconfiguration alternatesConfiguration - Changed"');
});

test('writes are made one after another, in the order they were asked for', () => {
  const first = cdbtable.handleCall(insert('a', 1), asker, started(), context());
  const second = cdbtable.handleCall(insert('b', 2), { ...asker, callId: 2 }, first.state, context());
  expect(second.effects ?? []).toEqual([]);
  const next = cdbtable.handleInfo(done, second.state, context());
  expect(next.effects?.map((effect) => effect.type)).toEqual(['reply', 'log', 'run']);
  const last = cdbtable.handleInfo(done, next.state, context());
  expect(ofType(last.effects, 'reply')[0]?.to.callId).toBe(2);
});

test('a write past the limit of the queue is refused as overloaded', () => {
  let { state } = cdbtable.handleCast(insert('a', 1), started({ queueMax: 1 }), context());
  state = cdbtable.handleCast(insert('b', 2), state, context()).state;
  const refused = cdbtable.handleCall(insert('c', 3), asker, state, context());
  expect(ofType(refused.effects, 'reply')[0]?.value).toMatchObject({ ok: false, error: { code: 'overloaded' } });
});

test('a transaction that failed is answered with the database’s own code, and the next one runs', () => {
  const { state } = cdbtable.handleCall(insert('a', 1), asker, started(), context());
  const queued = cdbtable.handleCast(insert('b', 2), state, context());
  const error = new StorageError('disc_full', 'The disc is full.');
  const failed = { ...done, ok: false, reason: { type: 'error', error } } as const;
  const next = cdbtable.handleInfo(failed, queued.state, context());
  expect(ofType(next.effects, 'reply')[0]?.value).toEqual({
    ok: false,
    error: { code: 'disc_full', message: 'The disc is full.' },
  });
  expect(records(next.effects)[0]?.level).toBe('ERROR');
  expect(ofType(next.effects, 'run')).toHaveLength(1);
});

test('E4 replacing a table writes only what differs and deletes what is left over', async () => {
  const table = memory(
    new Map<string, Value>([
      ['same', { a: 1 }],
      ['old', 1],
      ['gone', 1],
    ]),
  );
  const rows = [
    { key: 'same', value: { a: 1 } },
    { key: 'old', value: 2 },
    { key: 'new', value: 3 },
  ];
  const next = cdbtable.handleCast({ type: 'replace', rows }, started({ database: table.database }), context());
  await ofType(next.effects, 'run')[0]?.work(fakeWorker().worker);
  expect(table.writes).toEqual(['-gone', 'old', 'new']);
});

test('a peer row is shown under clusterConfiguration, where the operator sets it', () => {
  const state = started({ table: 'peerConfiguration', shownAs: 'clusterConfiguration' });
  const next = cdbtable.handleInfo(written('peer_2_address', undefined, 'peer2.lab'), state, context());
  expect(bodies(next.effects)[0]).toContain(
    'xconfiguration clusterConfiguration peer_2_address - changed from: null to: peer2.lab',
  );
});
