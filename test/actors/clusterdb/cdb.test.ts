import { expect, test } from 'vitest';
import type { CdbState } from '../../../actors/clusterdb/cdb.ts';
import {
  type CdbArgs,
  type CdbStatus,
  cdb,
  NODEDOWN_REASON,
  NOPROC_REASON,
  type PeerLink,
} from '../../../actors/index.ts';
import { StorageError } from '../../../storage/errors.ts';
import { asker, body, context, excerpts, fakeWorker, ofType, other, records, self, withoutPrefix } from './support.ts';

const linkUp: PeerLink = { index: 2, text: 'expc02.apolo.local', up: true, nodeName: other };
const linkDown: PeerLink = { ...linkUp, up: false };

function args(over: Partial<CdbArgs> = {}): CdbArgs {
  return {
    database: { connectNode: async () => undefined, runningDbNodes: () => [self, other] },
    links: () => [linkUp],
    ...over,
  };
}

function started(over: Partial<CdbArgs> = {}): CdbState {
  return cdb.init(args(over), context()).state;
}

const down = (reason: 'refused' | 'silent' | 'closed') =>
  ({ type: 'mnesia_down', node: other, wasAccessible: true, reason }) as const;
const due = (name: string) => ({ type: 'timeout', name, message: undefined }) as const;
const alarmCasts = (effects: Parameters<typeof ofType>[0]) =>
  ofType(effects, 'cast').map((effect) => effect.message as { type: string; id: number });

/** The recorded lines L6–L11 with the excerpt's own pids. */
const recorded = excerpts.filter((line) => /clusterdb\.(cdb|synchronise)"/.test(line)).map(withoutPrefix);

/** UTCTime differs by a millisecond between the recorded lines. */
const untimed = (line: string) => line.replace(/UTCTime="[^"]*"/, '');

test('E136 E137 E138 a lost node is logged as recorded: L6, L7, L8 by cdb, L9, L10, L11 by a worker', async () => {
  const database = {
    connectNode: async () => {
      throw new StorageError('node_not_running', 'no link', { node: other });
    },
    runningDbNodes: () => [self],
  };
  const next = cdb.handleInfo(down('refused'), started({ database }), context());
  const [run] = ofType(next.effects, 'run');
  const { worker, logged } = fakeWorker();
  await run?.work(worker);
  const lines = [...records(next.effects), ...logged].map((record) => body(record));
  expect(lines.map(untimed)).toEqual(recorded.map(untimed));
});

test.each([
  ['refused', NOPROC_REASON],
  ['closed', NOPROC_REASON],
  ['silent', NODEDOWN_REASON],
] as const)('E137 a node lost because its link was %s fails to connect with that Reason', async (reason, text) => {
  const database = {
    connectNode: () => Promise.reject(new StorageError('node_not_running', 'no link', { node: other })),
    runningDbNodes: () => [self],
  };
  const next = cdb.handleInfo(down(reason), started({ database }), context());
  const { worker, logged } = fakeWorker();
  const outcome = await ofType(next.effects, 'run')[0]?.work(worker);
  expect(outcome).toEqual({ ok: false, node: other, reason: text });
  expect(logged.at(-1)?.fields.at(-1)).toEqual(['Reason', text]);
});

test('E136 a node that was not accessible is no news', () => {
  const next = cdb.handleInfo({ ...down('silent'), wasAccessible: false }, started(), context());
  expect(next.effects ?? []).toEqual([]);
});

test('E150 one worker a node at a time, and another one only if the database called again and it failed', () => {
  const first = cdb.handleInfo(down('silent'), started(), context());
  const again = { type: 'inconsistent_database', context: 'running_partitioned_network', node: other } as const;
  const second = cdb.handleInfo(again, first.state, context());
  expect(ofType(second.effects, 'run')).toEqual([]);
  const info = { type: 'worker', name: `connect ${other}`, pid: context().self, ok: true } as const;
  const failed = cdb.handleInfo({ ...info, value: { ok: false, node: other, reason: 'r' } }, second.state, context());
  expect(ofType(failed.effects, 'run')).toHaveLength(1);
  const ended = cdb.handleInfo({ ...info, value: { ok: false, node: other, reason: 'r' } }, failed.state, context());
  expect(ofType(ended.effects, 'run')).toEqual([]);
});

test('E150 a worker that was killed is reported, and cdb goes on', () => {
  const lost = cdb.handleInfo(down('silent'), started(), context());
  const info = { type: 'worker', name: `connect ${other}`, pid: context().self, ok: false, reason: 'killed' } as const;
  const next = cdb.handleInfo(info, lost.state, context());
  expect(records(next.effects).map((record) => record.level)).toEqual(['ERROR']);
  expect(next.state.workers.size).toBe(0);
});

test.each(['running_partitioned_network', 'starting_partitioned_network'] as const)(
  'E136 a %s event is answered by L8 with its own context and a worker',
  (partition) => {
    const event = { type: 'inconsistent_database', context: partition, node: other } as const;
    const next = cdb.handleInfo(event, started(), context());
    expect(records(next.effects).map((record) => record.fields.find(([key]) => key === 'Detail')?.[1])).toEqual([
      `Connecting database on mnesia ${partition} event`,
    ]);
    expect(ofType(next.effects, 'run')).toHaveLength(1);
  },
);

test('E111 E112 after a loss 20006 comes after 170 ms and 20004 after 418 ms, in this order', () => {
  const lost = cdb.handleInfo(down('silent'), started(), context());
  expect(ofType(lost.effects, 'startTimer').map(({ name, delayMs }) => [name, delayMs])).toEqual([
    ['alarm-20006', 170],
    ['alarm-20004', 418],
  ]);
  const first = cdb.handleInfo(due('alarm-20006'), lost.state, context());
  const second = cdb.handleInfo(due('alarm-20004'), first.state, context());
  expect([...alarmCasts(first.effects), ...alarmCasts(second.effects)]).toEqual([
    { type: 'raise', id: 20006 },
    { type: 'raise', id: 20004 },
  ]);
});

test('E111 E112 a node that is back in time raises nothing', () => {
  const lost = cdb.handleInfo(down('silent'), started(), context());
  const back = cdb.handleInfo({ type: 'mnesia_up', node: other }, lost.state, context());
  expect(ofType(back.effects, 'cancelTimer').map(({ name }) => name)).toEqual(['alarm-20006', 'alarm-20004']);
  const late = cdb.handleInfo(due('alarm-20006'), back.state, context());
  expect(alarmCasts(late.effects)).toEqual([]);
});

test('E111 20004 is lowered when the link is back, 20006 only when the databases are one again', () => {
  let state = cdb.handleInfo(down('silent'), started(), context()).state;
  state = cdb.handleInfo({ type: 'links', peers: [linkDown] }, state, context()).state;
  state = cdb.handleInfo(due('alarm-20006'), state, context()).state;
  state = cdb.handleInfo(due('alarm-20004'), state, context()).state;
  const linked = cdb.handleInfo({ type: 'links', peers: [linkUp] }, state, context());
  expect(alarmCasts(linked.effects)).toEqual([{ type: 'lower', id: 20004 }]);
  const event = {
    type: 'connected',
    nodes: [self, other],
    rowsTaken: 3,
    rowsGiven: 1,
    conflicts: 1,
    durationMs: 9,
  } as const;
  const one = cdb.handleInfo(event, linked.state, context());
  expect(alarmCasts(one.effects)).toEqual([{ type: 'lower', id: 20006 }]);
  expect(body(records(one.effects)[0]!)).toContain('Rows-taken="3" Rows-given="1" Conflicts="1" Duration-ms="9"');
});

test('E65 20004 is raised for a configured peer that never joined, after a grace at the start', () => {
  const next = cdb.init(args({ links: () => [linkDown] }), context());
  expect(ofType(next.effects, 'startTimer').find(({ name }) => name === 'alarm-20004')?.delayMs).toBe(5_000);
  const raised = cdb.handleInfo(due('alarm-20004'), next.state, context());
  expect(alarmCasts(raised.effects)).toEqual([{ type: 'raise', id: 20004 }]);
  const joined = cdb.handleInfo({ type: 'links', peers: [linkUp] }, raised.state, context());
  expect(alarmCasts(joined.effects)).toEqual([{ type: 'lower', id: 20004 }]);
});

test('E111 a peer that was taken out of the cluster keeps no alarm alive', () => {
  let state = cdb.handleInfo(down('silent'), started(), context()).state;
  state = cdb.handleInfo(due('alarm-20006'), state, context()).state;
  state = cdb.handleInfo(due('alarm-20004'), state, context()).state;
  const removed = cdb.handleInfo({ type: 'links', peers: [] }, state, context());
  expect(alarmCasts(removed.effects)).toEqual([
    { type: 'lower', id: 20006 },
    { type: 'lower', id: 20004 },
  ]);
});

test('E112 a row that is an address and does not say its node’s name leaves a lost node lost', () => {
  const state = cdb.handleInfo(down('silent'), started(), context()).state;
  const unnamed: PeerLink = { index: 2, text: '10.15.13.16', up: false, nodeName: undefined };
  const next = cdb.handleInfo({ type: 'links', peers: [unnamed] }, state, context());
  expect([...next.state.rules.apart]).toEqual([other]);
});

test('B69 a peer that is linked and does not replicate is said at the second comparison, and again at each', () => {
  const database = { connectNode: async () => undefined, runningDbNodes: () => [self] };
  const first = cdb.handleInfo(due('compare'), started({ database }), context());
  expect(records(first.effects)).toEqual([]);
  const second = cdb.handleInfo(due('compare'), first.state, context());
  expect(records(second.effects).map((record) => record.level)).toEqual(['WARN']);
  expect(ofType(second.effects, 'startTimer').map(({ name }) => name)).toEqual(['alarm-20006', 'compare']);
  const third = cdb.handleInfo(due('compare'), second.state, context());
  expect(records(third.effects)).toHaveLength(1);
});

test('B69 a comparison that finds the node replicating lowers what no event lowered', () => {
  let state = cdb.handleInfo(down('silent'), started(), context()).state;
  state = cdb.handleInfo(due('alarm-20006'), state, context()).state;
  const next = cdb.handleInfo(due('compare'), state, context());
  expect(alarmCasts(next.effects)).toContainEqual({ type: 'lower', id: 20006 });
});

test('the database’s own tries are logged once for each reason', () => {
  const failed = (reason: string) => ({ type: 'connect_failed', node: other, reason }) as const;
  const first = cdb.handleInfo(failed('deadline'), started(), context());
  const second = cdb.handleInfo(failed('deadline'), first.state, context());
  const third = cdb.handleInfo(failed('schema_conflict'), second.state, context());
  expect([first, second, third].map((next) => records(next.effects).length)).toEqual([1, 0, 1]);
});

test.each([
  [{ type: 'disc_failed', code: 'disc_full', message: 'no space' }, 15005],
  [{ type: 'schema_conflict', node: other, table: 't', property: 'merge' }, 20024],
] as const)('E116 $0.type is logged and raises alarm $1', (event, id) => {
  const next = cdb.handleInfo(event, started(), context());
  expect(records(next.effects).map((record) => record.level)).toEqual(['ERROR']);
  expect(alarmCasts(next.effects)).toEqual([{ type: 'raise', id }]);
});

test('a table that takes no writes until more of its replicas are met is logged with those it waits for', () => {
  const event = { type: 'majority_awaited', table: 't', nodes: [other, 'clusterdb@gone'] } as const;
  const [line] = records(cdb.handleInfo(event, started(), context()).effects);
  expect(line?.level).toBe('WARN');
  expect(JSON.stringify(line)).toContain(`${other}, clusterdb@gone`);
});

test('E56 the status reads Active when every peer is reachable and replicates, Failed otherwise', () => {
  const statusOf = (state: CdbState) => {
    const answer = cdb.handleCall({ type: 'status' }, asker, state, context());
    return (ofType(answer.effects, 'reply')[0]!.value as CdbStatus).databaseStatus;
  };
  expect(statusOf(started())).toBe('Active');
  expect(statusOf(cdb.handleInfo(down('silent'), started(), context()).state)).toBe('Failed');
  expect(statusOf(started({ links: () => [linkDown] }))).toBe('Failed');
});

test('a started cdb lowers what a fallen one may have left raised', () => {
  expect(alarmCasts(cdb.init(args(), context()).effects)).toEqual([
    { type: 'lower', id: 20006 },
    { type: 'lower', id: 20004 },
  ]);
});
