import { describe, expect, test } from 'vitest';
import { COMMAND_LENGTH_MAX, parseLine } from '../../../src/api/x-command-line.ts';
import { executeCommand } from '../../../src/api/x-commands.ts';
import { ChangeRefused } from '../../../src/peer/changes.ts';
import { alarm20004, FakePeer } from './fake-peer.ts';

const source = { address: '10.15.13.30', port: 53_155, user: 'admin' };

async function run(line: string, peer = new FakePeer()) {
  const result = await executeCommand(line, peer, source);
  return { ...result, text: result.lines.join('\n'), changes: peer.changes.map((made) => made.change) };
}

describe('xConfiguration', () => {
  test.each([
    [
      'xconfiguration clusterConfiguration tls_verify',
      '*c xConfiguration clusterConfiguration tls_verify: "Permissive"',
    ],
    [
      'XCONFIGURATION CLUSTERCONFIGURATION TLS_VERIFY',
      '*c xConfiguration clusterConfiguration tls_verify: "Permissive"',
    ],
    ['xConfiguration Alternates Cluster Name', '*c xConfiguration Alternates Cluster Name: "cluster.example.com"'],
    ['xConfiguration Alternates ConfigurationPrimary', '*c xConfiguration Alternates ConfigurationPrimary: 1'],
    ['xConfiguration alternates peer 2 address', '*c xConfiguration Alternates Peer 2 Address: "peer2.example.com"'],
    ['xConfiguration Alternates Peer 6 Address', '*c xConfiguration Alternates Peer 6 Address: ""'],
    ['xConfiguration alternatesConfiguration', '*c xConfiguration alternatesConfiguration 1 name: "peer1"'],
    ['xConfiguration ClusterAddressMapping', '*c xConfiguration ClusterAddressMapping Enabled: "On"'],
  ])('E122 E131 E132 `%s` shows the value', async (line, expected) => {
    const result = await run(line);
    expect(result.lines).toContain(expected);
    expect(result.lines.slice(-2)).toEqual(['*c/end', 'OK']);
    expect(result.code).toBe(0);
    expect(result.changes).toEqual([]);
  });

  test.each([
    ['xconfiguration clusterConfiguration tls_verify: Enforcing', { item: 'tlsVerify', value: 'Enforcing' }],
    ['xconfiguration clusterconfiguration TLS_VERIFY:enforcing', { item: 'tlsVerify', value: 'Enforcing' }],
    ['xconfiguration clusterConfiguration tls_verify : "Permissive"', { item: 'tlsVerify', value: 'Permissive' }],
    ['xConfiguration Alternates Cluster Name: "c.example.com"', { item: 'clusterName', value: 'c.example.com' }],
    ['xConfiguration Alternates ConfigurationPrimary: 2', { item: 'configurationPrimary', value: 2 }],
    ['xConfiguration Alternates Peer 4 Address: 10.15.13.18', { item: 'peerAddress', index: 4, value: '10.15.13.18' }],
    ['xConfiguration Alternates Peer 4 Address: fd00::4', { item: 'peerAddress', index: 4, value: 'fd00::4' }],
    ['xConfiguration Alternates Peer 3 Address: ""', { item: 'peerAddress', index: 3, value: '' }],
    ['xConfiguration ClusterAddressMapping Enabled: off', { item: 'addressMappingEnabled', value: false }],
  ])('E131 `%s` sets the value', async (line, change) => {
    const result = await run(line);
    expect(result).toMatchObject({ lines: ['OK'], code: 0, changes: [change] });
  });

  test.each([
    ['xconfiguration clusterConfiguration tls_verify: Strict', /"Strict" is no value.*Permissive or Enforcing/],
    ['xConfiguration Alternates ConfigurationPrimary: 7', /row from 1 to 6.*<1\.\.6>/],
    ['xConfiguration Alternates Peer 7 Address', /There is no configuration item/],
    ['xConfiguration Alternates Cluster Nam', /Did you mean xConfiguration Alternates Cluster Name\?/],
    ['xConfiguration Alternates: x', /names 9 items/],
    ['xConfiguration alternatesConfiguration: x', /written by the peer itself/],
    ['xConfiguration Alternates Cluster Name:', /followed by no value/],
    ['xConfiguration Alternates Cluster Name: a b', /double quotes/],
    ['xConfiguration Alternates Cluster Name: "a', /double quote is not closed/],
    ['xconfig', /Did you mean xConfiguration\?/],
    ['rm -rf', /There is no command "rm"/],
  ])('`%s` is not understood, and said why', async (line, text) => {
    const result = await run(line);
    expect(result.code).toBe(2);
    expect(result.text).toMatch(/^ERROR: /);
    expect(result.text).toMatch(text);
    expect(result.changes).toEqual([]);
  });

  test.each([
    ['a line that is too long', `xStatus ${'a'.repeat(COMMAND_LENGTH_MAX)}`, /at most 1024/],
    ['control characters', 'xStatus \u001b[2J', /control characters/],
    ['too many words', Array.from({ length: 40 }, () => 'a').join(' '), /more than 32 words/],
  ])('%s is refused', async (_name, line, text) => {
    expect(await run(line)).toMatchObject({ code: 2, text: expect.stringMatching(text) });
  });

  test('a refused change answers code 1 with what, why and what to do', async () => {
    const peer = new FakePeer();
    peer.refusal = new ChangeRefused(
      'The primary was not changed',
      'row 4 is not filled',
      'Give a number from 1 to 3.',
    );
    const result = await run('xConfiguration Alternates ConfigurationPrimary: 4', peer);
    expect(result).toMatchObject({
      code: 1,
      lines: ['ERROR: The primary was not changed: row 4 is not filled. Give a number from 1 to 3.'],
    });
  });

  test('an unexpected failure is not swallowed', async () => {
    const peer = new FakePeer();
    peer.refusal = new TypeError('bug');
    await expect(run('xConfiguration Alternates ConfigurationPrimary: 2', peer)).rejects.toThrow('bug');
  });

  test('E147 a change carries address, port and user of who made it', async () => {
    const peer = new FakePeer();
    await run('xconfiguration clusterConfiguration tls_verify: Enforcing', peer);
    expect(peer.changes[0]!.source).toEqual(source);
  });
});

describe('help', () => {
  test('B61 `?` shows items with their value spaces and what is peer-specific', async () => {
    const all = await run('xConfiguration ?');
    expect(all.text).toContain('xConfiguration Alternates Peer 1 Address: <S: 0, 128> †');
    expect(all.text).toContain('xConfiguration clusterConfiguration tls_verify: <Permissive/Enforcing>  ');
    const some = await run('xConfiguration Alternates ConfigurationPrimary ?');
    expect(some.lines[0]).toContain('<1..6>');
    expect(some.lines).toHaveLength(3);
  });

  test('`?` and `xCommand` list what can be asked', async () => {
    expect((await run('?')).text).toContain('xStatus ?');
    expect((await run('xCommand')).text).toContain('xCommand ClusterAddressMappingAdd Fqdn(r): <S> IpAddress(r): <S>');
    expect((await run('xstatus ?')).lines).toContain('xStatus Alarm');
  });

  test('a command the peer cannot do is not listed', async () => {
    expect((await run('xCommand ?')).text).not.toContain('ForceConfigUpdate');
    expect((await run('xCommand ForceConfigUpdate')).code).toBe(2);
    let forced = 0;
    const peer = Object.assign(new FakePeer(), {
      async forceConfigUpdate() {
        forced += 1;
      },
    });
    expect((await run('xCommand ?', peer)).text).toContain('ForceConfigUpdate');
    expect((await run('xcommand force config update', peer)).lines).toEqual(['OK']);
    expect(forced).toBe(1);
  });
});

describe('xStatus', () => {
  test('B62 shows the alternates with the texts of their rows', async () => {
    const { text } = await run('xstatus alternates');
    expect(text).toContain('*s Alternates:\n  Peer 1:\n    Address: "peer1.example.com"');
    expect(text).toContain(`Clustering: "Clustering: Active as peer2 (Resolved 'peer2.example.com' as '10.15.13.16')"`);
    expect(text).toMatch(/\*s\/end\nOK$/);
  });

  test('B62 shows alarms, or that there is none', async () => {
    expect((await run('xStatus Alarm')).lines).toEqual(['*s Alarm: /', '*s/end', 'OK']);
    const peer = new FakePeer();
    peer.alarms = [alarm20004];
    expect((await run('xStatus alarm', peer)).text).toContain('*s Alarm 1:\n  ID: "20004"');
  });

  test('B62 shows the cluster, and everything when nothing is named', async () => {
    expect((await run('xStatus CLUSTER')).text).toContain('  DatabaseStatus: "Active"');
    const all = await run('xStatus');
    for (const name of ['*s Alarm', '*s Alternates:', '*s Cluster:', '*s SystemUnit:'])
      expect(all.text).toContain(name);
  });

  test('quotes and control characters in values cannot break a line', async () => {
    const peer = new FakePeer();
    peer.stored = { ...peer.stored, name: 'a"b\nc' };
    expect((await run('xStatus Cluster', peer)).text).toContain('Name: "a\\"b c"');
  });
});

describe('xCommand', () => {
  test('B61 adds and deletes a mapping, names with or without spaces', async () => {
    const peer = new FakePeer();
    await run('xCommand ClusterAddressMappingAdd Fqdn: "e.example.com" IpAddress: 10.0.0.1', peer);
    await run('xcommand cluster address mapping delete fqdn: e.example.com', peer);
    expect(peer.changes.map((made) => made.change)).toEqual([
      { item: 'addressMapping', fqdn: 'e.example.com', ip: '10.0.0.1' },
      { item: 'addressMapping', fqdn: 'e.example.com', ip: undefined },
    ]);
  });

  test.each([
    ['xCommand ClusterAddressMappingAdd Fqdn: a.b', /IpAddress must be given/],
    ['xCommand ClusterAddressMappingAdd Fqdn: a.b Fqdn: c.d', /given twice/],
    ['xCommand ClusterAddressMappingAdd Name: a', /has no parameter "Name"/],
    ['xCommand ClusterAddressMappingAdd Fqdn', /has no value/],
    ['xCommand Restrt', /There is no xCommand/],
  ])('`%s` is not understood', async (line, text) => {
    expect(await run(line)).toMatchObject({ code: 2, text: expect.stringMatching(text) });
  });
});

describe('reading a line', () => {
  test('words, strings with escapes, and colons', () => {
    expect(parseLine('  a b: "c \\" d"  ')).toEqual({
      tokens: [
        { text: 'a', quoted: false, colon: false },
        { text: 'b', quoted: false, colon: true },
        { text: 'c " d', quoted: true, colon: false },
      ],
    });
  });
});
