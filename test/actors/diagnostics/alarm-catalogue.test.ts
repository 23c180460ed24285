import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import {
  alarmById,
  alarmCatalogue,
  alarmDetail,
  alarmNamespace,
  describeAlarm,
  shownParameters,
} from '../../../actors/index.ts';

const known = new Map([
  [20004, '3bca6888-f622-11df-93be-07cc953d7b99'],
  [20006, '0f96695e-d954-4f6f-85c1-2ef1eae6f764'],
  [20007, 'e2b8e3d1-b731-4d7d-b606-4682a8f0c2e6'],
]);

/** Version 5 of RFC 9562: SHA-1 of the namespace's octets and the name. */
function version5(namespace: string, name: string): string {
  const octets = createHash('sha1')
    .update(Buffer.from(namespace.replaceAll('-', ''), 'hex'))
    .update(name)
    .digest();
  octets[6] = (octets[6]! & 0x0f) | 0x50;
  octets[8] = (octets[8]! & 0x3f) | 0x80;
  const hex = octets.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-');
}

test('B29 the namespace and every uuid of ours are what they say they are', () => {
  expect(version5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'alarms.peerage.example')).toBe(alarmNamespace);
  for (const alarm of alarmCatalogue) {
    expect([alarm.id, alarm.uuid]).toEqual([
      alarm.id,
      known.get(alarm.id) ?? version5(alarmNamespace, String(alarm.id)),
    ]);
  }
});

test('B29 ids and uuids are unique, and every alarm has a title, a description and a remedy', () => {
  expect(new Set(alarmCatalogue.map((alarm) => alarm.id)).size).toBe(alarmCatalogue.length);
  expect(new Set(alarmCatalogue.map((alarm) => alarm.uuid)).size).toBe(alarmCatalogue.length);
  for (const { title, description, remedy } of alarmCatalogue) {
    expect([title, description, remedy].every((text) => text.trim().length > 0)).toBe(true);
  }
});

test('B29 numbers that are not in the table that was found are not used', () => {
  for (const id of [20001, 20002, 20010, 20013, 20022, 20023]) expect(alarmById(id)).toBeUndefined();
});

test.each([
  [20004, 'Cluster communication failure: The system is unable to communicate with one or more of the cluster peers'],
  [
    20006,
    'Cluster database communication failure: The database is unable to replicate with one or more of the cluster peers',
  ],
  [
    20007,
    'Restart required: Cluster configuration has been changed, however a restart is required for this to take effect',
  ],
  [
    20018,
    'Invalid clustering configuration: H.323 mode must be turned On - clustering uses H.323 communications between peers',
  ],
])('E111–E114 alarm %i has its exact Detail and severity warning', (id, detail) => {
  expect(alarmDetail(alarmById(id)!)).toBe(detail);
  expect(alarmById(id)?.severity).toBe('warning');
});

test.each([
  [20009, 'Cluster replication error: manual synchronization of configuration is required'],
  [
    20014,
    "Cluster replication error: cannot find primary or this subordinate's peer configuration file, manual synchronization of configuration is required",
  ],
  [
    20017,
    'Cluster replication error: configuration primary ID is inconsistent, manual synchronization of configuration is required',
  ],
  [
    20011,
    "Cluster replication error: this peer's configuration conflicts with the primary's configuration, manual synchronization of configuration is required",
  ],
])('E115 alarm %i is worded as its case of the replication error', (id, detail) => {
  expect(alarmDetail(alarmById(id)!)).toBe(detail);
});

test('B23 parameters stand in the text, and one that is missing stays visible', () => {
  const alarm = alarmById(20021)!;
  expect(describeAlarm(alarm, { peers: 'peer2', ports: '4371, 4372' })).toBe(
    'Unable to establish a TCP connection with peer2 on ports 4371, 4372',
  );
  expect(describeAlarm(alarm, { peers: 'peer2' })).toContain('<ports>');
  expect(describeAlarm(alarm, {})).not.toContain('undefined');
  expect(shownParameters({ ports: '4372', peers: 'peer2' })).toBe('{peers: peer2, ports: 4372}');
  expect(shownParameters()).toBe('null');
});

test('names of vendors are in no text', () => {
  expect(JSON.stringify(alarmCatalogue)).not.toMatch(/cisco|expressway|\bvcs\b|tandberg/i);
});
