/** A peer in a process of its own for link-life.test.ts: prints its port and its events, one line each. */
import { ClusterLinks, type PeerAddress, type PeerCertificate } from '../../../src/net/index.ts';
import { SeededRandom } from '../../../src/simulation/seeded-random.ts';
import { NET_TICKTIME_MS, RESUME_WINDOW_MS, realClock } from './net-lab.ts';

interface Settings {
  readonly address: string;
  readonly certificate: PeerCertificate;
  readonly authority: string;
  readonly clusterKey: string;
  readonly parent: PeerAddress;
}

const settings = JSON.parse(process.env.PEER_SETTINGS ?? '') as Settings;

const links = await ClusterLinks.open({
  nodeId: 'id-child',
  nodeName: 'clusterdb@child.example',
  incarnation: 1,
  bindAddress: settings.address,
  port: 0,
  sourcePorts: [30_000, 35_999],
  certificate: settings.certificate.certificatePem,
  privateKey: settings.certificate.privateKeyPem,
  trustedAuthorities: [settings.authority],
  tlsVerify: 'Permissive',
  clusterKey: Buffer.from(settings.clusterKey, 'hex'),
  netTicktimeMs: NET_TICKTIME_MS,
  resumeWindowMs: RESUME_WINDOW_MS,
  clock: realClock,
  random: new SeededRandom('child'),
  log: () => undefined,
});
links.channel('db').setHandlers({
  up: (node) => print(`up ${node}`),
  down: (node, reason) => print(`down ${node} ${reason}`),
  message: (_node, message) => print(`message ${String(message)}`),
});
print(`port ${links.port}`);
links.setPeers([settings.parent]);
// The parent may end in any way; nothing is left behind then.
process.stdin.on('end', () => process.exit(0)).resume();

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
