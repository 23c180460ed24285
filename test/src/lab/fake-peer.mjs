// Stands in for `peerage peer --config FILE` where only the process matters: it says that all is well. A file named
// `behaviour` beside its configuration makes it do otherwise: `die`, `stay` (deaf to SIGTERM), `never` (not ready).
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { dirname, join } from 'node:path';

const file = process.argv[process.argv.indexOf('--config') + 1];
const folder = dirname(file);
const configuration = JSON.parse(readFileSync(file, 'utf8'));
const behaviour = existsSync(join(folder, 'behaviour')) ? readFileSync(join(folder, 'behaviour'), 'utf8') : '';
const { cluster, systemName, domain, bindAddress, ports } = configuration;
const own = cluster.peers.indexOf(`${systemName}.${domain}`) + 1;

if (behaviour === 'die') {
  console.error('the disc is on fire');
  process.exit(7);
}

const status = {
  version: '0.1.0',
  nodeName: `clusterdb@${systemName}.${domain}`,
  systemName,
  uptimeMs: 1,
  cluster: {
    configurationPrimary: 1,
    databaseStatus: 'Active',
    thisPeer: own,
    peers: cluster.peers.map((text, at) => ({
      index: at + 1,
      text,
      state: at + 1 === own ? 'This system' : behaviour === 'never' ? 'Failed' : 'Active',
    })),
  },
  alarms: [],
  database: { tables: [] },
};

const faults = [];
const answers = {
  'GET /api/v1/status': () => status,
  'GET /api/v1/lab/faults': () => ({
    links: faults
      .filter((each) => each.op === 'cut')
      .map(({ address, direction }) => ({ address, cut: direction, delayMs: 0 })),
    clockOffsetMs: 0,
  }),
  'POST /api/v1/lab/faults': (body) => {
    if (body.op === 'heal') faults.length = 0;
    else faults.push(body);
    return {};
  },
};

const server = createServer(
  { cert: readFileSync(join(folder, 'peer.crt')), key: readFileSync(join(folder, 'peer.key')) },
  (request, reply) => {
    let text = '';
    request.on('data', (chunk) => {
      text += chunk;
    });
    request.on('end', () => {
      const answer = answers[`${request.method} ${request.url}`];
      reply.statusCode = answer === undefined ? 404 : 200;
      reply.end(JSON.stringify(answer?.(text === '' ? undefined : JSON.parse(text)) ?? {}));
    });
  },
);
server.listen(ports.https, bindAddress, () => console.log('peer ready'));
process.on('SIGTERM', () => {
  if (behaviour !== 'stay') process.exit(0);
});
