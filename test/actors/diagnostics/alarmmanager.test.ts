import { expect, test } from 'vitest';
import type { AlarmManagerState } from '../../../actors/diagnostics/alarmmanager.ts';
import {
  type AlarmManagerArgs,
  type AlarmRow,
  alarmmanager,
  alarmRows,
  asAlarmRow,
  type Next,
  type ShownAlarm,
} from '../../../actors/index.ts';
import { asker, body, context, fakeWorker, ofType, other, records, self } from '../clusterdb/support.ts';

const here = context('<0.130.0>');

function started(rows: readonly AlarmRow[] = [], over: Partial<AlarmManagerArgs> = {}) {
  return alarmmanager.init({ rows: () => rows, incarnation: 7, ...over }, here);
}

function row(over: Partial<AlarmRow> = {}): AlarmRow {
  return {
    owner: self,
    incarnation: 7,
    id: 20004,
    uuid: 'u',
    severity: 'warning',
    title: 't',
    description: 'd',
    detail: 'Cluster communication failure: The system is unable to communicate with one or more of the cluster peers',
    raisedAt: 1,
    acknowledged: false,
    ...over,
  };
}

type State = Next<AlarmManagerState>;
const raise = (state: AlarmManagerState, id: number, parameters?: Record<string, string>) =>
  alarmmanager.handleCast({ type: 'raise', id, parameters }, state, here);
const lower = (state: AlarmManagerState, id: number) => alarmmanager.handleCast({ type: 'lower', id }, state, here);
const lines = (next: State) => records(next.effects).map((record) => body(record, 1_597_262_263_524));

/** Runs the worker under way; answers the requests it makes of the table, and hands its outcome back. */
async function saved(next: State, answer: unknown = { ok: true }) {
  const asked: unknown[] = [];
  const run = ofType(next.effects, 'run')[0]!;
  const { worker } = fakeWorker((_to, message) => {
    asked.push(message);
    return answer;
  });
  const info = { type: 'worker', name: run.name, pid: here.self } as const;
  try {
    const value = await run.work(worker);
    return { asked, next: alarmmanager.handleInfo({ ...info, ok: true, value }, next.state, here) };
  } catch (error) {
    const reason = { type: 'error', error } as const;
    return { asked, next: alarmmanager.handleInfo({ ...info, ok: false, reason }, next.state, here) };
  }
}

test('E139 E148 a raised alarm is logged by the manager (L28) and then as the event (L13)', () => {
  expect(lines(raise(started().state, 20004))).toEqual([
    'expc01 management: UTCTime="2020-08-12 19:57:43,524" Module="developer.diagnostics.alarmmanager" Level="INFO" CodeLocation="alarmmanager(173)" Detail="Raising alarm" UUID="3bca6888-f622-11df-93be-07cc953d7b99" Parameters="null"',
    'expc01 alarm: Level="WARN" Event="Alarm Raised" Id="20004" UUID="3bca6888-f622-11df-93be-07cc953d7b99" Severity="warning" Detail="Cluster communication failure: The system is unable to communicate with one or more of the cluster peers" UTCTime="2020-08-12 19:57:43,524"',
  ]);
});

test('E139 20007 carries the tag of management, 20006 that of alarm', () => {
  expect(lines(raise(started().state, 20007))[1]).toMatch(
    /^expc01 management: Level="WARN" Event="Alarm Raised" Id="20007"/,
  );
  expect(lines(raise(started().state, 20006))[1]).toMatch(
    /^expc01 alarm: Level="WARN" Event="Alarm Raised" Id="20006"/,
  );
});

test('an alarm raised twice is raised once', () => {
  const again = raise(raise(started().state, 20004).state, 20004);
  expect(again.effects ?? []).toEqual([]);
});

test('B23 other parameters are another statement, and Parameters shows them', () => {
  const first = raise(started().state, 20021, { peers: 'peer2', ports: '4372' });
  const second = raise(first.state, 20021, { peers: 'peer3', ports: '4372' });
  expect(lines(second)[0]).toContain('Parameters="{peers: peer3, ports: 4372}"');
  expect(lines(second)[1]).toContain('connection with peer3 on ports 4372');
});

test('E118 a raised alarm becomes a row of this node in the table, and a lowered one leaves it', async () => {
  const first = await saved(raise(started().state, 20004));
  expect(first.asked).toMatchObject([
    {
      type: 'insert',
      rows: [{ key: [self, 20004], value: { owner: self, id: 20004, incarnation: 7, acknowledged: false } }],
    },
  ]);
  const second = await saved(lower(first.next.state, 20004));
  expect(second.asked).toEqual([{ type: 'delete', keys: [[self, 20004]] }]);
});

test('B34 a lowered alarm is logged as an event of the same form', () => {
  expect(lines(lower(raise(started().state, 20006).state, 20006))).toEqual([
    'expc01 alarm: Level="INFO" Event="Alarm Lowered" Id="20006" UUID="0f96695e-d954-4f6f-85c1-2ef1eae6f764" Severity="warning" Detail="Cluster database communication failure: The database is unable to replicate with one or more of the cluster peers" UTCTime="2020-08-12 19:57:43,524"',
  ]);
});

test('an alarm that is not raised is lowered without a word', () => {
  expect(lower(started().state, 20004).effects ?? []).toEqual([]);
});

test('an alarm raised and lowered while the table is written ends as no row', async () => {
  const raised = raise(started().state, 20004);
  const lowered = lower(raised.state, 20004);
  expect(ofType(lowered.effects, 'run')).toEqual([]);
  const first = await saved({ state: lowered.state, effects: raised.effects });
  const second = await saved(first.next);
  expect(second.asked).toEqual([{ type: 'delete', keys: [[self, 20004]] }]);
  expect(second.next.effects ?? []).toEqual([]);
});

test('a write that failed is reported once, tried again after a pause, and loses no alarm', async () => {
  const refused = { ok: false, error: { code: 'disc_full', message: 'The disc is full.' } };
  const first = await saved(raise(started().state, 20004), refused);
  expect(records(first.next.effects)).toHaveLength(1);
  expect(ofType(first.next.effects, 'startTimer')).toEqual([{ type: 'startTimer', name: 'retry', delayMs: 2_000 }]);
  const due = { type: 'timeout', name: 'retry', message: undefined } as const;
  const second = await saved(alarmmanager.handleInfo(due, first.next.state, here), refused);
  expect(records(second.next.effects)).toEqual([]);
  const third = await saved(alarmmanager.handleInfo(due, second.next.state, here));
  expect(third.asked).toMatchObject([{ type: 'insert', rows: [{ key: [self, 20004] }] }]);
  expect(third.next.effects ?? []).toEqual([]);
});

test('E113 B31 alarms of an earlier life are removed at the start, those of other peers are left', async () => {
  const rows = [row({ incarnation: 6, id: 20007 }), row({ owner: other, id: 20004 })];
  const { asked } = await saved(started(rows));
  expect(asked).toEqual([{ type: 'delete', keys: [[self, 20007]] }]);
});

test('E150 a manager that was started again knows the alarms of this life and raises none of them twice', () => {
  const next = started([row({ raisedAt: 5 })]);
  expect(next.effects ?? []).toEqual([]);
  expect(raise(next.state, 20004).effects ?? []).toEqual([]);
});

test('E118 B31 the list of the cluster holds every peer’s alarms with remedies, the own list only ours', () => {
  const { state } = raise(started([row({ owner: other, id: 20006 })]).state, 20004);
  const list = (scope: 'own' | 'cluster') =>
    ofType(alarmmanager.handleCall({ type: 'list', scope }, asker, state, here).effects, 'reply')[0]!
      .value as ShownAlarm[];
  expect(list('cluster').map((one) => [one.owner, one.id])).toEqual([
    [self, 20004],
    [other, 20006],
  ]);
  expect(list('own').map((one) => one.id)).toEqual([20004]);
  expect(list('own')[0]?.remedy).toContain('Clustering');
});

test('B31 an own alarm is acknowledged once and named with its user; another peer’s is refused', async () => {
  const { state } = raise(started([row({ owner: other, id: 20006 })]).state, 20004);
  const acknowledge = (id: number, at: AlarmManagerState) =>
    alarmmanager.handleCall({ type: 'acknowledge', id, user: 'admin' }, asker, at, here);
  const first = acknowledge(20004, state);
  expect(lines(first)[0]).toContain('Event="Alarm Acknowledged" Id="20004"');
  expect(records(first.effects)[0]?.fields.at(-1)).toEqual(['User', 'admin']);
  expect(first.state.raised.get(20004)?.acknowledged).toBe(true);
  expect(records(acknowledge(20004, first.state).effects)).toEqual([]);
  expect(ofType(acknowledge(20006, state).effects, 'reply')[0]?.value).toMatchObject({
    ok: false,
    error: { code: 'not_raised' },
  });
});

test('an id that is in no catalogue is refused and logged', () => {
  const next = alarmmanager.handleCall({ type: 'raise', id: 99 }, asker, started().state, here);
  expect(ofType(next.effects, 'reply')[0]?.value).toMatchObject({ ok: false, error: { code: 'no_such_alarm' } });
  expect(records(next.effects)).toHaveLength(1);
});

test('rows of other versions or of no form are left out of the list', () => {
  expect(asAlarmRow({ ...row() })).toEqual(row());
  for (const value of [null, 'x', [], new Uint8Array(), { ...row(), id: 'x' }, { owner: 'x' }]) {
    expect(asAlarmRow(value)).toBeUndefined();
  }
  const database = {
    dirtyRead: () => undefined,
    dirtyForEach: (_table: string, visit: (key: null, value: null) => void) => visit(null, null),
  };
  expect(alarmRows(database)).toEqual([]);
});
