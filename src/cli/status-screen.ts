/** The cluster report as one screen of text. */

import type { ClusterReport, LinkReport, PeerReport, TableReport } from './cluster-report.ts';
import { formatDuration, formatMilliseconds, formatTable } from './table.ts';
import { type Style, styled, type Terminal } from './terminal.ts';

function stateStyle(state: string): Style {
  if (state === 'Active') return 'green';
  return state === 'Starting' || state === 'Unknown' ? 'yellow' : 'red';
}

function linkText(link: LinkReport, terminal: Terminal): string {
  if (link.state === 'Active') return `${link.index} ${styled(terminal, 'green', '✔')}`;
  return `${link.index} ${styled(terminal, stateStyle(link.state), `✘ ${link.state}`)}`;
}

/** The slowest of the working links: the one that matters for the limit of 80 ms. */
function slowestRtt(peer: PeerReport): number | undefined {
  const values = peer.links.flatMap((link) => link.rttMs ?? []);
  return values.length === 0 ? undefined : Math.max(...values);
}

function peerCells(peer: PeerReport, terminal: Terminal): string[] {
  const index = peer.index === null ? '?' : String(peer.index);
  const state = styled(terminal, stateStyle(peer.state), peer.state);
  if (!peer.answered) return [index, '–', state, '–', '–', '–', '–', '–', `${peer.url}: ${peer.reason}`];
  return [
    index,
    peer.name ?? '–',
    state,
    peer.role ?? '–',
    peer.version ?? '–',
    formatDuration(peer.uptimeMs ?? 0),
    formatMilliseconds(slowestRtt(peer)),
    peer.links.length === 0 ? '–' : peer.links.map((link) => linkText(link, terminal)).join('  '),
    peer.url,
  ];
}

function tableCells(table: TableReport, terminal: Terminal): string[] {
  const sizes = [...new Set(table.sizes)].sort((a, b) => a - b);
  const size = sizes.length <= 1 ? String(sizes[0] ?? '–') : `${sizes[0]}–${sizes.at(-1)}`;
  const isLoaded = table.copiesLoaded === table.copies;
  const digest = table.localContent
    ? 'own on each peer'
    : { equal: 'equal', differs: 'DIFFERS', single: 'one copy' }[table.digests];
  return [
    table.name,
    String(table.copies),
    size,
    styled(terminal, isLoaded ? 'green' : 'red', isLoaded ? 'all' : `${table.copiesLoaded} of ${table.copies}`),
    table.digests === 'differs' ? styled(terminal, 'red', digest) : digest,
  ];
}

function heading(report: ClusterReport, terminal: Terminal): string {
  const { cluster, peers } = report;
  const answered = peers.filter((peer) => peer.answered).length;
  const health = styled(terminal, report.health === 'healthy' ? 'green' : 'red', report.health.toUpperCase());
  const parts = [
    styled(terminal, 'bold', cluster?.name ?? 'cluster'),
    health,
    `${answered} of ${peers.length} peers answered`,
    ...(cluster === null
      ? []
      : [`primary ${cluster.configurationPrimary}`, `TLS ${cluster.tlsVerify}`, cluster.ipVersion]),
    report.time,
  ];
  return parts.join(' · ');
}

export function statusScreen(report: ClusterReport, terminal: Terminal): string {
  const peers = formatTable(
    [
      { title: '#', align: 'right' },
      { title: 'PEER' },
      { title: 'DATABASE' },
      { title: 'ROLE' },
      { title: 'VERSION' },
      { title: 'UP FOR', align: 'right' },
      { title: 'RTT', align: 'right' },
      { title: 'LINKS TO' },
      { title: 'URL' },
    ],
    report.peers.map((peer) => peerCells(peer, terminal)),
  );
  const lines = [heading(report, terminal), '', ...peers, ''];
  if (report.tables.length > 0) {
    lines.push(
      ...formatTable(
        [
          { title: 'TABLE' },
          { title: 'COPIES', align: 'right' },
          { title: 'ROWS', align: 'right' },
          { title: 'LOADED' },
          { title: 'CONTENT' },
        ],
        report.tables.map((table) => tableCells(table, terminal)),
      ),
      '',
    );
  }
  for (const alarm of report.alarms) {
    lines.push(
      `${styled(terminal, 'yellow', `ALARM ${alarm.id}`)} ${alarm.severity} on ${alarm.peers.join(', ')} since ${alarm.raisedAt}`,
      `  ${alarm.title}: ${alarm.description}`,
      `  what to do: ${alarm.remedy}`,
      '',
    );
  }
  if (report.problems.length === 0) return [...lines, 'no problems'].join('\n');
  const count = report.problems.length;
  lines.push(`${count} problem${count === 1 ? '' : 's'}:`, ...report.problems.map((problem) => `- ${problem}`));
  return lines.join('\n');
}
