import { expect, test } from 'vitest';
import {
  type ClusterConfiguration,
  type PeerNameResolverArgs,
  type PeersMessage,
  peernameresolver,
  type ResolvedPeer,
} from '../../../actors/index.ts';
import type { TableEvent, Value } from '../../../storage/index.ts';
import { body, context, fakeWorker, ofType, records } from './support.ts';

const configuration: ClusterConfiguration = {
  name: 'expc-cluster.apolo.local',
  configurationPrimary: 1,
  ipVersion: 'IPv4',
  tlsVerify: 'Permissive',
  peers: ['expc01.apolo.local', 'EXPC02.apolo.local', '10.15.13.17'],
  addressMapping: { enabled: false, mappings: [{ fqdn: 'expc02.apolo.local', ip: '10.15.13.16' }] },
};
const mapped: ClusterConfiguration = {
  ...configuration,
  addressMapping: {
    enabled: true,
    mappings: [
      { fqdn: 'expc01.apolo.local', ip: '10.15.13.15' },
      { fqdn: 'expc02.apolo.local', ip: '10.15.13.16' },
    ],
  },
};

/** A resolver over `config`, with the queries it makes and the rows it gives to the links. */
function resolver(
  config: ClusterConfiguration,
  answers: Record<string, string> = {},
  over: Partial<PeerNameResolverArgs> = {},
) {
  const queries: string[] = [];
  const links: (readonly ResolvedPeer[])[] = [];
  const box = { configuration: config, answers };
  const args: PeerNameResolverArgs = {
    configuration: () => box.configuration,
    own: { fqdn: 'expc01.apolo.local', addresses: ['10.15.13.15'] },
    lookup: async (name) => {
      queries.push(name);
      const address = box.answers[name];
      if (address === undefined) throw new Error(`${name} does not exist`);
      return address;
    },
    setPeers: (peers) => {
      links.push(peers);
    },
    ...over,
  };
  return { args, queries, links, box };
}

const here = context('<0.145.0>');
const details = (effects: Parameters<typeof records>[0]) =>
  records(effects).map((record) => record.fields.find(([key]) => key === 'Detail')?.[1]);
const notification = 'Notifying databasemanager (Management Framework)';
const taken = { type: 'peers_taken' } as const;
const due = (name: string) => ({ type: 'timeout', name, message: undefined }) as const;

/** Runs the worker an effect asks for and hands its outcome back. */
async function answered(next: ReturnType<typeof peernameresolver.handleInfo>) {
  const run = ofType(next.effects, 'run')[0]!;
  const value = await run.work(fakeWorker().worker);
  return peernameresolver.handleInfo(
    { type: 'worker', name: run.name, pid: here.self, ok: true, value },
    next.state,
    here,
  );
}

const change = (table: string, key: string, origin: TableEvent['origin'] = 'local', value: Value = 'new') =>
  ({
    type: 'table',
    event: { type: 'write', table, key, value, oldValue: 'old', version: { hlc: 1, node: 'n' }, origin },
  }) as const;

test('E87 a mapped row is resolved with no DNS query, and an address row needs none', () => {
  const { args, queries, links } = resolver(mapped);
  const next = peernameresolver.init(args, here);
  expect(queries).toEqual([]);
  expect(ofType(next.effects, 'run')).toEqual([]);
  expect(links[0]?.map(({ index, address, source, own }) => [index, address, source, own])).toEqual([
    [1, '10.15.13.15', 'mapping', true],
    [2, '10.15.13.16', 'mapping', false],
    [3, '10.15.13.17', 'literal', false],
  ]);
});

test('E87 with the mapping switched off every name goes to DNS, each once', async () => {
  const dns = { 'expc01.apolo.local': '10.15.13.15', 'expc02.apolo.local': '10.15.13.16' };
  const { args, queries, links } = resolver(configuration, dns);
  const begun = peernameresolver.init(args, here);
  expect(links).toEqual([]);
  await answered(begun);
  expect(queries.sort()).toEqual(['expc01.apolo.local', 'expc02.apolo.local']);
  expect(links[0]?.map(({ source }) => source)).toEqual(['dns', 'dns', 'literal']);
});

test('E145 the resolver tells databasemanager by L26, then alternatesmanager', () => {
  const next = peernameresolver.init(resolver(mapped).args, here);
  expect(records(next.effects).map((record) => body(record, 0))).toEqual([
    'expc01 UTCTime="1970-01-01 00:00:00,000" Module="developer.clusterdb.peernameresolver" Level="INFO" Node="clusterdb@expc01.apolo.local" PID="<0.145.0>" Detail="Notifying databasemanager (Management Framework)"',
  ]);
  const sends = ofType(next.effects, 'send');
  expect(sends.map(({ to }) => to)).toEqual(['databasemanager', 'alternatesmanager']);
  expect((sends[0]!.message as PeersMessage).peers).toHaveLength(3);
});

/** A resolver that has told its first rows, and was answered. */
function idle(config: ClusterConfiguration) {
  const { state } = peernameresolver.init(resolver(config).args, here);
  return peernameresolver.handleInfo(taken, state, here).state;
}

test('E145 a mode changed here is told once, a while after the record of its pending state', () => {
  const first = peernameresolver.handleInfo(change('clusterConfiguration', 'tls_verify'), idle(mapped), here);
  const second = peernameresolver.handleInfo(change('clusterConfiguration', 'pending_change'), first.state, here);
  const timers = [...ofType(first.effects, 'startTimer'), ...ofType(second.effects, 'startTimer')];
  expect(timers.map(({ delayMs }) => delayMs)).toEqual([1_000, 46]);
  expect(new Set(timers.map(({ name }) => name)).size).toBe(1);
  const told = peernameresolver.handleInfo(due(timers[0]!.name), second.state, here);
  expect(details(told.effects)).toEqual([notification]);
});

test('E145 a mode changed here is told although its record was never written, and a later record is no news', () => {
  const first = peernameresolver.handleInfo(change('clusterConfiguration', 'tls_verify'), idle(mapped), here);
  const told = peernameresolver.handleInfo(due(ofType(first.effects, 'startTimer')[0]!.name), first.state, here);
  expect(details(told.effects)).toEqual([notification]);
  const late = peernameresolver.handleInfo(change('clusterConfiguration', 'pending_change'), told.state, here);
  expect(late.effects ?? []).toEqual([]);
});

test('any other change made here is told on its own', () => {
  const next = peernameresolver.handleInfo(change('clusterConfiguration', 'cluster_name'), idle(mapped), here);
  expect(ofType(next.effects, 'startTimer').map(({ delayMs }) => delayMs)).toEqual([46]);
});

test('E146 a change that came from another peer is told twice, as its two inserts are two changes', () => {
  const first = peernameresolver.handleInfo(change('clusterConfiguration', 'tls_verify', 'remote'), idle(mapped), here);
  const second = peernameresolver.handleInfo(
    change('clusterConfiguration', 'pending_change', 'remote'),
    first.state,
    here,
  );
  const names = [...ofType(first.effects, 'startTimer'), ...ofType(second.effects, 'startTimer')].map(
    ({ name }) => name,
  );
  expect(new Set(names).size).toBe(2);
  let next = second;
  for (const name of names) {
    next = peernameresolver.handleInfo(due(name), next.state, here);
    expect(details(next.effects)).toEqual([notification]);
    next = peernameresolver.handleInfo(taken, next.state, here);
  }
});

test('E146 a second notification waits until the first is in the tables, or until nobody says so any more', () => {
  for (const end of [taken, due('telling')]) {
    const first = peernameresolver.handleInfo(change('clusterAddressMapping', 'a'), idle(mapped), here);
    const second = peernameresolver.handleInfo(change('clusterAddressMapping', 'b'), first.state, here);
    const [one, two] = [first, second].map((next) => ofType(next.effects, 'startTimer')[0]!.name);
    const told = peernameresolver.handleInfo(due(one!), second.state, here);
    expect(details(told.effects)).toEqual([notification]);
    const held = peernameresolver.handleInfo(due(two!), told.state, here);
    expect(held.effects ?? []).toEqual([]);
    expect(details(peernameresolver.handleInfo(end, held.state, here).effects)).toEqual([notification]);
  }
});

test('a burst of changes is told a bounded number of times', () => {
  let { state } = peernameresolver.init(resolver(mapped).args, here);
  const names = new Set<string>();
  for (let count = 0; count < 100; count += 1) {
    const next = peernameresolver.handleInfo(change('clusterAddressMapping', `f${count}`), state, here);
    for (const { name } of ofType(next.effects, 'startTimer')) names.add(name);
    state = next.state;
  }
  expect(names.size).toBe(8);
});

test('E144 while a name fails, each period logs L19, queues the next and asks DNS again', async () => {
  const { args, queries } = resolver(configuration, { 'expc01.apolo.local': '10.15.13.15' });
  const { state } = await answered(peernameresolver.init(args, here));
  const next = peernameresolver.handleInfo(due('forced-update'), state, here);
  expect(records(next.effects).map((record) => body(record, 0))).toEqual([
    'expc01 UTCTime="1970-01-01 00:00:00,000" Module="developer.clusterdb.peernameresolver" Level="INFO" Node="clusterdb@expc01.apolo.local" PID="<0.145.0>" Detail="Triggering forced peer update of peers which failed DNS and queueing next run" Queue-Time-ms="300000"',
  ]);
  expect(ofType(next.effects, 'startTimer')).toEqual([{ type: 'startTimer', name: 'forced-update', delayMs: 300_000 }]);
  const again = await answered(next);
  expect(queries.filter((name) => name === 'expc02.apolo.local')).toHaveLength(2);
  expect(details(again.effects)).toEqual([]);
});

test('E144 a forced update that finds the peer tells everybody', async () => {
  const { args, box } = resolver(configuration, { 'expc01.apolo.local': '10.15.13.15' });
  const { state } = await answered(peernameresolver.init(args, here));
  box.answers['expc02.apolo.local'] = '10.15.13.16';
  const found = await answered(peernameresolver.handleInfo(due('forced-update'), state, here));
  expect(details(found.effects)).toEqual([notification]);
});

test('E144 when no name fails the period passes without a line', () => {
  const { state } = peernameresolver.init(resolver(mapped).args, here);
  const next = peernameresolver.handleInfo(due('forced-update'), state, here);
  expect(records(next.effects)).toEqual([]);
  expect(ofType(next.effects, 'startTimer')).toHaveLength(1);
});

test('E144 Queue-Time-ms shows the period that is set', async () => {
  const { args } = resolver(configuration, {}, { forcedUpdateMs: 1_234 });
  const { state } = await answered(peernameresolver.init(args, here));
  const next = peernameresolver.handleInfo(due('forced-update'), state, here);
  expect(records(next.effects)[0]?.fields.at(-1)).toEqual(['Queue-Time-ms', '1234']);
});

test('a name that fails is named once, with its reason, and not again while it goes on failing', async () => {
  const { args } = resolver(configuration, { 'expc01.apolo.local': '10.15.13.15' });
  const first = await answered(peernameresolver.init(args, here));
  expect(details(first.effects)).toEqual(['Peer address cannot be resolved', notification]);
  const { state } = peernameresolver.handleInfo(taken, first.state, here);
  const again = peernameresolver.handleInfo(change('peerConfiguration', 'peer_3_address'), state, here);
  const retried = await answered(
    peernameresolver.handleInfo(due(ofType(again.effects, 'startTimer')[0]!.name), again.state, here),
  );
  expect(details(retried.effects)).toEqual([notification]);
});

test('a name that stops resolving keeps the address it had', async () => {
  const { args, box, links } = resolver(configuration, {
    'expc01.apolo.local': '10.15.13.15',
    'expc02.apolo.local': '10.15.13.16',
  });
  const first = await answered(peernameresolver.init(args, here));
  const { state } = peernameresolver.handleInfo(taken, first.state, here);
  box.answers = { 'expc01.apolo.local': '10.15.13.15' };
  const again = peernameresolver.handleInfo(change('peerConfiguration', 'cluster_name'), state, here);
  const next = await answered(
    peernameresolver.handleInfo(due(ofType(again.effects, 'startTimer')[0]!.name), again.state, here),
  );
  expect(links.at(-1)?.[1]?.address).toBe('10.15.13.16');
  expect([...next.state.failed]).toEqual(['expc02.apolo.local']);
});

test('the answers of an older run do not replace those of a later one', async () => {
  const { args, links, box } = resolver(configuration, { 'expc01.apolo.local': '10.0.0.1' });
  const first = peernameresolver.init(args, here);
  box.configuration = mapped;
  const changed = peernameresolver.handleInfo(change('clusterAddressMapping', 'f'), first.state, here);
  const later = peernameresolver.handleInfo(due(ofType(changed.effects, 'startTimer')[0]!.name), changed.state, here);
  const late = await answered({ state: later.state, effects: first.effects });
  expect(links).toHaveLength(1);
  expect(late.effects ?? []).toEqual([]);
});

test('DNS that never answers counts as failed after its time', async () => {
  const { args } = resolver(configuration, {}, { lookup: () => new Promise(() => undefined), lookupTimeoutMs: 70 });
  const begun = peernameresolver.init(args, here);
  const { worker } = fakeWorker();
  const run = ofType(begun.effects, 'run')[0]!;
  const value = await run.work({ ...worker, sleep: async () => undefined });
  const next = peernameresolver.handleInfo(
    { type: 'worker', name: run.name, pid: here.self, ok: true, value },
    begun.state,
    here,
  );
  expect(records(next.effects)[0]?.fields.at(-1)).toEqual(['Reason', 'DNS did not answer within 70 ms']);
});
