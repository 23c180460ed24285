import { expect, test } from 'vitest';
import {
  type ClusterConfiguration,
  type Next,
  type SynchroniserArgs,
  clusterconfigurationsynchroniser as synchroniser,
  type TableRow,
} from '../../../actors/index.ts';
import type { SynchroniserState } from '../../../actors/replication/clusterconfigurationsynchroniser.ts';
import {
  answerFor,
  configurationHash,
  isAnswer,
  settingsOf,
} from '../../../actors/replication/clusterconfigurationutils.ts';
import { asker, body, context, excerpts, fakeWorker, ofType, records, shape } from '../clusterdb/support.ts';

const configuration: ClusterConfiguration = {
  name: 'expc-cluster.apolo.local',
  configurationPrimary: 1,
  ipVersion: 'IPv4',
  tlsVerify: 'Permissive',
  peers: ['expc01.apolo.local', 'expc02.apolo.local'],
  addressMapping: { enabled: false, mappings: [] },
};
const alternates = [
  { address: '10.15.13.15', name: 'expc01' },
  { address: '10.15.13.16', name: 'expc02' },
];
const rows: readonly TableRow[] = [
  { key: 'zones', value: { a: 1 } },
  { key: 'dialplan', value: 'x' },
];

function args(host: 'expc01' | 'expc02', over: Partial<SynchroniserArgs> = {}): SynchroniserArgs {
  return {
    configuration: () => configuration,
    own: { fqdn: `${host}.apolo.local`, addresses: [] },
    softwareVersion: '0.1.0',
    alternates: () => alternates,
    nodeNameOfPeer: () => undefined,
    rows: () => rows,
    ...over,
  };
}

const due = { type: 'timeout', name: 'run', message: undefined } as const;
const init = (over: SynchroniserArgs) => synchroniser.init(over, context()).state;
const details = (effects: Parameters<typeof records>[0]) =>
  records(effects).map((record) => record.fields.find(([key]) => key === 'Detail')?.[1]);
const alarms = (next: Next<SynchroniserState>) => ofType(next.effects, 'cast').map(({ message }) => message);

/** Runs the worker: the primary's answer, then the table's; hands the outcome back. */
async function fetched(begun: Next<SynchroniserState>, answer: () => unknown, written: unknown = { ok: true }) {
  const asked: unknown[] = [];
  const run = ofType(begun.effects, 'run')[0]!;
  const { worker } = fakeWorker((to, message) => {
    asked.push({ to, message });
    return typeof to === 'string' ? written : answer();
  });
  const info = { type: 'worker', name: run.name, pid: context().self } as const;
  try {
    const value = await run.work(worker);
    return { asked, next: synchroniser.handleInfo({ ...info, ok: true, value }, begun.state, context()) };
  } catch (error) {
    const reason = { type: 'error', error } as const;
    return { asked, next: synchroniser.handleInfo({ ...info, ok: false, reason }, begun.state, context()) };
  }
}

/** The primary's answer to an asker that holds `held`. */
function primaryAnswer(
  of: Partial<ClusterConfiguration> = {},
  its = rows,
  held = rows,
  version = '0.1.0',
  localPeer = 1,
) {
  const request = { type: 'configuration', hash: configurationHash(held) } as const;
  return answerFor(request, settingsOf({ ...configuration, ...of }, version), localPeer, its);
}

const recorded = (host: string) => excerpts.filter((line) => line.includes(`${host} replication:`)).map(shape);

test('E134 E135 T1 a run on the primary logs L1, L2, L3, L5 as recorded and asks nobody', () => {
  const next = synchroniser.handleInfo(due, init(args('expc01')), context());
  expect(records(next.effects).map((record) => shape(`t ${body(record)}`))).toEqual(recorded('expc01'));
  expect(ofType(next.effects, 'run')).toEqual([]);
});

test('E134 E135 T1 a run on a subordinate that is equal logs L1, L2, L4, L5 as recorded', async () => {
  const begun = synchroniser.handleInfo(due, init(args('expc02')), context());
  const { asked, next } = await fetched(begun, () => primaryAnswer());
  const lines = [...records(begun.effects), ...records(next.effects)];
  expect(lines.map((record) => shape(`t ${body(record)}`.replace('expc01 replication', 'expc02 replication')))).toEqual(
    recorded('expc02'),
  );
  expect(asked).toMatchObject([
    { to: { name: 'clusterconfigurationsynchroniser', node: 'clusterdb@expc01.apolo.local' } },
  ]);
});

test('E3 the next run is queued two minutes later, whatever becomes of this one', () => {
  const next = synchroniser.handleInfo(due, init(args('expc02')), context());
  expect(ofType(next.effects, 'startTimer')).toEqual([{ type: 'startTimer', name: 'run', delayMs: 120_000 }]);
  const overtaking = synchroniser.handleInfo(due, next.state, context());
  expect(ofType(overtaking.effects, 'startTimer')).toHaveLength(1);
  expect(records(overtaking.effects)).toEqual([]);
});

test('E4 E6 a subordinate that differs takes the primary’s rows and completes', async () => {
  const held = { now: [{ key: 'zones', value: 'edited here' }] as readonly TableRow[] };
  const begun = synchroniser.handleInfo(due, init(args('expc02', { rows: () => held.now })), context());
  const { asked, next } = await fetched(begun, () => {
    const answer = primaryAnswer({}, rows, held.now);
    held.now = rows;
    return answer;
  });
  expect(asked[1]).toEqual({ to: 'cdbtable.systemConfiguration', message: { type: 'replace', rows } });
  expect(details(next.effects)).toEqual([
    'This peer is not the cluster master, local configuration has been replaced',
    'Synchronisation completed successfully',
  ]);
  expect(next.state.previous?.result).toEqual({ ok: true, role: 'subordinate', rowsTaken: 2 });
});

test.each([
  ['the primary does not answer', 20016, () => Promise.reject(new Error('noconnection'))],
  ['the answer is no configuration', 20009, () => ({ type: 'configuration' })],
  ['the primary runs another version', 20008, () => primaryAnswer({}, rows, rows, '0.2.0')],
  ['the primary names another primary', 20017, () => primaryAnswer({ configurationPrimary: 2 })],
  ['the peer in the primary’s row does not find itself there', 20017, () => primaryAnswer({}, rows, rows, '0.1.0', 2)],
  ['the primary does not list this peer', 20014, () => primaryAnswer({ peers: ['expc01.apolo.local'] })],
  ['the cluster names differ', 20012, () => primaryAnswer({ name: 'other' })],
  [
    'the order of the rows differs',
    20012,
    () => primaryAnswer({ peers: ['expc02.apolo.local', 'expc01.apolo.local'] }),
  ],
  ['the rows are not what their hash says', 20009, () => ({ ...primaryAnswer(), hash: 'x', rows })],
] as const)('E115 when %s the run fails with alarm %i', async (_why, id, answer) => {
  const begun = synchroniser.handleInfo(due, init(args('expc02')), context());
  const { next } = await fetched(begun, answer);
  expect(details(next.effects)).toEqual(['Synchronisation failed']);
  expect(records(next.effects)[0]?.level).toBe('ERROR');
  expect(alarms(next)).toContainEqual({ type: 'raise', id });
  expect(alarms(next).filter((message) => JSON.stringify(message).includes('raise'))).toHaveLength(1);
});

test('E115 rows that still differ after they were taken are a conflict, 20011', async () => {
  const mine = [{ key: 'zones', value: 'stuck' }];
  const begun = synchroniser.handleInfo(due, init(args('expc02', { rows: () => mine })), context());
  const { next } = await fetched(begun, () => primaryAnswer({}, rows, mine));
  expect(alarms(next)).toContainEqual({ type: 'raise', id: 20011 });
});

test('E115 rows that could not be written are an error of the copy, 20009, with the database’s reason', async () => {
  const mine = [{ key: 'zones', value: 'old' }];
  const begun = synchroniser.handleInfo(due, init(args('expc02', { rows: () => mine })), context());
  const refused = { ok: false, error: { code: 'disc_full', message: 'The disc is full.' } };
  const { next } = await fetched(begun, () => primaryAnswer({}, rows, mine), refused);
  expect(alarms(next)).toContainEqual({ type: 'raise', id: 20009 });
  expect(records(next.effects)[0]?.fields.at(-1)?.[1]).toContain('The disc is full.');
});

test.each([
  ['is in no row of its own list', 20015, { own: { fqdn: 'elsewhere', addresses: [] } }],
  ['names a primary that has no row', 20014, { configuration: () => ({ ...configuration, configurationPrimary: 5 }) }],
  [
    'has never reached a primary whose row is an address',
    20016,
    { configuration: () => ({ ...configuration, peers: ['10.15.13.15', 'expc02.apolo.local'] }) },
  ],
] as const)('E115 a system that %s fails with alarm %i', (_why, id, over) => {
  const next = synchroniser.handleInfo(due, init(args('expc02', over)), context());
  expect(alarms(next)).toContainEqual({ type: 'raise', id });
});

test('E115 the next good run lowers every alarm of the family', async () => {
  const begun = synchroniser.handleInfo(due, init(args('expc02')), context());
  const { next } = await fetched(begun, () => primaryAnswer());
  expect(alarms(next)).toEqual(
    [20008, 20009, 20011, 20012, 20014, 20015, 20016, 20017].map((id) => ({ type: 'lower', id })),
  );
});

test('E3 a system in no cluster runs nothing and says nothing', () => {
  const alone = { ...configuration, peers: [] };
  const next = synchroniser.handleInfo(due, init(args('expc01', { configuration: () => alone })), context());
  expect(next.effects?.map((effect) => effect.type)).toEqual(['startTimer']);
});

test('B15 the previous and the next time of synchronisation are told', () => {
  const state = init(args('expc01', { firstRunMs: 1_000 }));
  expect(state.nextAt).toBe(context().nowMs + 1_000);
  const run = synchroniser.handleInfo(due, state, { ...context(), nowMs: 5_000 });
  const next = synchroniser.handleCall({ type: 'status' }, asker, run.state, context());
  expect(ofType(next.effects, 'reply')[0]?.value).toEqual({
    previous: { at: 5_000, durationMs: 0, result: { ok: true, role: 'primary' } },
    nextAt: 125_000,
    running: false,
  });
});

test('E4 the primary answers with its hash, and with rows only to a peer that differs', () => {
  const answer = (hash: string) =>
    ofType(
      synchroniser.handleCall({ type: 'configuration', hash }, asker, init(args('expc01')), context()).effects,
      'reply',
    )[0]?.value;
  expect(answer(configurationHash(rows))).toMatchObject({ rows: undefined, localPeer: 1 });
  expect(answer('other')).toMatchObject({ rows, hash: configurationHash(rows) });
});

test('B64 a forced update is refused on the primary', () => {
  const next = synchroniser.handleCall({ type: 'synchronise', force: true }, asker, init(args('expc01')), context());
  expect(ofType(next.effects, 'reply')[0]?.value).toMatchObject({ ok: false, code: 'is_primary' });
  expect(ofType(next.effects, 'run')).toEqual([]);
});

test('E119 a forced update takes the rows even when nothing differs, and answers its caller', async () => {
  const call = { type: 'synchronise', force: true } as const;
  const begun = synchroniser.handleCall(call, asker, init(args('expc02')), context());
  const { asked, next } = await fetched(begun, () => primaryAnswer({}, rows, []));
  expect(asked[1]).toMatchObject({ message: { type: 'replace', rows } });
  expect(ofType(next.effects, 'reply')).toEqual([
    { type: 'reply', to: asker, value: { ok: true, role: 'subordinate', rowsTaken: 2 } },
  ]);
});

test('a caller that asks while a run is under way gets that run’s result', async () => {
  const begun = synchroniser.handleInfo(due, init(args('expc02')), context());
  const waiting = synchroniser.handleCall({ type: 'synchronise', force: false }, asker, begun.state, context());
  expect(waiting.effects ?? []).toEqual([]);
  const { next } = await fetched({ state: waiting.state, effects: begun.effects }, () => primaryAnswer());
  expect(ofType(next.effects, 'reply')[0]?.value).toMatchObject({ ok: true });
});

test('E4 equal tables have equal hashes whatever the order of rows and members, and different ones do not', () => {
  const shuffled = [...rows].reverse();
  expect(configurationHash(shuffled)).toBe(configurationHash(rows));
  expect(configurationHash([{ key: 'k', value: { a: 1, b: 2 } }])).toBe(
    configurationHash([{ key: 'k', value: { b: 2, a: 1 } }]),
  );
  expect(configurationHash([{ key: 'k', value: 1 }])).not.toBe(configurationHash([{ key: 'k', value: '1' }]));
  expect(configurationHash([])).not.toBe(configurationHash(rows));
});

test.each([
  [{ ...primaryAnswer(), settings: undefined }],
  [{ ...primaryAnswer(), hash: 1 }],
  [{ ...primaryAnswer(), localPeer: 'x' }],
  [{ ...primaryAnswer(), rows: [1] }],
  [{ ...primaryAnswer(), rows: new Array(20_001).fill({ key: 1, value: 1 }) }],
  [{ ...primaryAnswer(), settings: { ...primaryAnswer().settings, peers: [1] } }],
])('B28 an answer of the wrong form is none', (value) => {
  expect(isAnswer(value)).toBe(false);
});

test('E115 after a run that did not reach the primary the next one comes after 10 s, not two minutes', async () => {
  const begun = synchroniser.handleInfo(due, init(args('expc02')), context());
  const { next } = await fetched(begun, () => Promise.reject(new Error('noconnection')));
  expect(ofType(next.effects, 'startTimer')).toEqual([{ type: 'startTimer', name: 'run', delayMs: 10_000 }]);
  expect(next.state.nextAt).toBe(context().nowMs + 10_000);
  const again = synchroniser.handleInfo(due, next.state, context());
  const reached = await fetched(again, () => primaryAnswer());
  expect(ofType(reached.next.effects, 'startTimer')).toEqual([]);
  expect(reached.next.state.nextAt).toBe(context().nowMs + 120_000);
});
