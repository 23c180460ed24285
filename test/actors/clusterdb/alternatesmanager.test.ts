import { expect, test } from 'vitest';
import { alternatesmanager, type ResolvedPeer } from '../../../actors/index.ts';
import { body, context, fakeWorker, ofType, records } from './support.ts';

const peers: readonly ResolvedPeer[] = [
  { index: 1, text: 'expc01.apolo.local', address: '10.15.13.15', source: 'dns', own: true },
  { index: 2, text: 'expc02.apolo.local', address: undefined, source: 'none', own: false },
];
const here = context('<0.142.0>');
const configuration = () => ({
  name: 'c',
  configurationPrimary: 1,
  ipVersion: 'IPv4' as const,
  tlsVerify: 'Permissive' as const,
  peers: [],
  addressMapping: { enabled: false, mappings: [] },
});
const started = (indexes: readonly number[] = []) =>
  alternatesmanager.init({ configuration, alternateIndexes: () => indexes }, here).state;

/** What the worker of a step asks of which table's process, in order. */
async function writesOf(next: ReturnType<typeof alternatesmanager.handleInfo>) {
  const asked: { to: unknown; message: unknown }[] = [];
  const { worker } = fakeWorker((to, message) => {
    asked.push({ to, message });
    return { ok: true };
  });
  await ofType(next.effects, 'run')[0]?.work(worker);
  return asked;
}

test('E145 new peer data is logged as L27 and every row is written by the table’s own process', async () => {
  const next = alternatesmanager.handleInfo({ type: 'peers', peers }, started(), here);
  expect(records(next.effects).map((record) => body(record, 0))).toEqual([
    'expc01 UTCTime="1970-01-01 00:00:00,000" Module="developer.clusterdb.alternatesmanager" Level="INFO" Node="clusterdb@expc01.apolo.local" PID="<0.142.0>" Detail="alternate peer changed info recieved"',
  ]);
  const writes = await writesOf(next);
  expect(writes.map(({ to }) => to)).toEqual(['cdbtable.alternatesConfiguration', 'cdbtable.alternatesConfiguration']);
  expect(writes[1]?.message).toEqual({
    type: 'insert',
    rows: [
      {
        key: 2,
        value: {
          index: 2,
          address: 'expc02.apolo.local',
          resolved: null,
          source: 'none',
          thisSystem: false,
          tlsVerify: 'Permissive',
        },
      },
    ],
  });
});

test('E132 rows of peers that are gone are deleted, those left by an earlier life included', async () => {
  const next = alternatesmanager.handleInfo({ type: 'peers', peers }, started([1, 2, 3, 4]), here);
  expect((await writesOf(next)).at(-1)?.message).toEqual({ type: 'delete', keys: [3, 4] });
  const again = alternatesmanager.handleInfo({ type: 'peers', peers }, next.state, here);
  expect(await writesOf(again)).toHaveLength(2);
});

test('the links’ mode is part of an alternate and follows the table', async () => {
  const event = {
    type: 'write',
    table: 'clusterConfiguration',
    key: 'tls_verify',
    value: 'Enforcing',
    oldValue: 'Permissive',
    version: { hlc: 1, node: 'n' },
    origin: 'remote',
  } as const;
  const { state } = alternatesmanager.handleInfo({ type: 'table', event }, started(), here);
  const next = alternatesmanager.handleInfo({ type: 'peers', peers }, state, here);
  expect(JSON.stringify((await writesOf(next))[0]?.message)).toContain('"tlsVerify":"Enforcing"');
});

test('the resolver hears when every row is written, and also when the table refused one, which is logged', () => {
  const outcome = { type: 'worker', name: 'write', pid: here.self } as const;
  const taken = { type: 'send', to: 'peernameresolver', message: { type: 'peers_taken' } };
  const written = alternatesmanager.handleInfo({ ...outcome, ok: true, value: undefined }, started(), here);
  expect(written.effects).toEqual([taken]);
  const reason = { type: 'error', error: new Error('The disc is full.') } as const;
  const refused = alternatesmanager.handleInfo({ ...outcome, ok: false, reason }, started(), here);
  expect(records(refused.effects).map((record) => record.fields.at(-1))).toEqual([['Reason', 'The disc is full.']]);
  expect(refused.effects?.at(-1)).toEqual(taken);
});
