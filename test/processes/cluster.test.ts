/** A cluster as an operator meets it: up, looked at, configured, down, and up again. */
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { awaited, measured, peerage, type TestLab, useLab } from './lab-harness.ts';
import { aboutNode, familiesIn, familyOf, ofFamily } from './line-families.ts';
import type { TestPeer } from './test-peer.ts';

const lab = useLab({ peers: 3, firstAddress: '127.15.60.15' });

/** When the first line of a family was logged, ms since the epoch. */
function loggedAt(peer: TestPeer, family: string, from: number): number | undefined {
  return peer.log(from).find((line) => familyOf(line) === family)?.wallMs;
}

test('E40 E51 E52 E56 after `lab up` all three peers show themselves and both others as Active', async () => {
  for (const peer of lab().peers) {
    const { cluster } = await peer.status();
    expect(cluster.databaseStatus).toBe('Active');
    expect(cluster.thisPeer).toBe(peer.index);
    expect(cluster.peers.map((row) => row.clustering)).toEqual(
      lab().peers.map((other) => ({
        ok: true,
        text:
          other === peer
            ? 'Clustering: This system'
            : `Clustering: Active as ${other.name} (Resolved '${other.fqdn}' as '${other.address}')`,
      })),
    );
    expect(cluster.peers.map((row) => row.certificate)).toEqual(
      lab().peers.map(() => ({ valid: true, text: 'Certificate: Valid' })),
    );
  }
});

test('`status` ends with 0 while the cluster is healthy, a notice notwithstanding, and with 4 where there is no lab', async () => {
  await awaited('40049 is raised', 5_000, async () => (await lab().peer(1).alarmIds()).includes('40049'));
  const healthy = await lab().tryCommand('status', '--output', 'json');
  expect(JSON.parse(healthy.out)).toMatchObject({ health: 'healthy', problems: [] });
  expect(healthy.code).toBe(0);
  const elsewhere = await peerage('status', '--dir', join(tmpdir(), 'peerage-no-lab-here'));
  expect(elsewhere.err).toContain('(no_lab)');
  expect(elsewhere.code).toBe(4);
});

test('E7 E72 E73 E74 E131 the TLS mode set on the primary is on the others within a second, with 20007 on all', async () => {
  const marks = lab().peers.map((peer) => peer.mark());
  await lab().command('xconfiguration', 'clusterConfiguration', 'tls_verify:', 'Enforcing');
  await awaited('every peer shows the mode', 10_000, async () => {
    const statuses = await Promise.all(lab().peers.map((peer) => peer.status()));
    return statuses.every(({ cluster }) => cluster.tlsVerify === 'Enforcing');
  });
  await awaited('20007 is raised on every peer', 10_000, async () => {
    const alarms = await Promise.all(lab().peers.map((peer) => peer.alarmIds()));
    return alarms.every((ids) => ids.includes('20007'));
  });
  const [first = 0, ...others] = lab().peers.map((peer, at) => loggedAt(peer, 'L21', marks[at]!) ?? Number.NaN);
  const delays = others.map((at) => at - first);
  measured(`the mode was applied on the other peers ${delays.join(' and ')} ms after it was on the primary`);
  for (const delayMs of delays) expect(delayMs).toBeLessThan(1_000);
  for (const [at, peer] of lab().peers.entries()) {
    expect(familiesIn(peer.log(marks[at]), ['L21', 'L29'])).toEqual(['L21', 'L29']);
    const { cluster, restartRequired } = await peer.status();
    expect([cluster.tlsVerifyAtStart, restartRequired]).toEqual(['Permissive', true]);
  }
});

test('`status` ends with 1 when the cluster is unhealthy, and with 3 when a peer does not answer', async () => {
  const unhealthy = await lab().tryCommand('status', '--output', 'json');
  expect(JSON.parse(unhealthy.out)).toMatchObject({ health: 'unhealthy' });
  expect(unhealthy.code).toBe(1);
  await lab().command('lab', 'kill', '3');
  const silent = await lab().tryCommand('status');
  expect(silent.out).toContain('it was killed by `lab kill`');
  expect(silent.code).toBe(3);
  await lab().command('lab', 'start', '3');
});

test('E8 E74 E75 `lab down` leaves nothing running; `lab up` on its directory has the data, and the mode is in effect', async () => {
  const rows = Array.from({ length: 60 }, (_, at) => [`kept-${at}`, { number: at, text: `row ${at}` }] as const);
  for (const [at, [key, value]] of rows.entries())
    await lab()
      .peer((at % 3) + 1)
      .write(key, value);
  expect(remains(lab())).toHaveLength(3 * 5);
  await lab().command('lab', 'down');
  expect(remains(lab())).toEqual([]);

  const marks = lab().peers.map((peer) => peer.mark());
  await lab().command('lab', 'up', '--detach');
  for (const peer of lab().peers) {
    const kept = await peer.rows();
    for (const [key, value] of rows) expect(kept.get(key)).toEqual(value);
    const { cluster, restartRequired } = await peer.status();
    expect(cluster).toMatchObject({ tlsVerify: 'Enforcing', tlsVerifyAtStart: 'Enforcing', databaseStatus: 'Active' });
    expect(restartRequired).toBe(false);
  }
  await lab().awaitEqual(5_000);
  await awaited('no alarm is left', 10_000, async () => (await lab().tryCommand('status')).code === 0);
  // Peers that were stopped in order have nothing to heal.
  for (const [at, peer] of lab().peers.entries()) {
    expect(ofFamily(peer.log(marks[at]), 'L7').map(aboutNode)).toEqual([]);
  }
});

/** Processes that were started with the lab's directory, and sockets that are bound to an address of the lab. */
function remains(of: TestLab): string[] {
  const processes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => commandLine(pid).includes(of.directory))
    .map((pid) => `process ${pid}`);
  const addresses = new Set(of.peers.map((peer) => hexOf(peer.address)));
  const sockets = ['tcp', 'udp'].flatMap((protocol) =>
    readFileSync(`/proc/net/${protocol}`, 'utf8')
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      // A TCP socket counts when it listens; closed connections stay in the kernel for a while.
      .filter(
        ([, local, , state]) => addresses.has(local?.split(':')[0] ?? '') && (protocol === 'udp' || state === '0A'),
      )
      .map(([, local]) => `${protocol} ${local}`),
  );
  return [...processes, ...sockets];
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch (error) {
    // Processes end while they are looked at.
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')) return '';
    throw error;
  }
}

/** As /proc writes an IPv4 address: its octets from the last to the first. */
function hexOf(address: string): string {
  const octets = address.split('.').map((octet) => Number(octet).toString(16).padStart(2, '0'));
  return octets.reverse().join('').toUpperCase();
}
