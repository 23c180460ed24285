/** Pure: what the Clustering page says of every row, and of the database. Texts are wire facts, byte for byte. */
import type { DatabaseStatus, PeerRowStatus, RowState } from './peer-handle.ts';

/** What the net layer knows of the link to a row. */
export interface RowLink {
  readonly index: number;
  readonly address: string | undefined;
  readonly state: 'unknown' | 'connecting' | 'up' | 'failed';
  /** `clusterdb@<fqdn>` the other end gave itself. */
  readonly name?: string | undefined;
  readonly shortName?: string | undefined;
  readonly reason?: string | undefined;
  readonly rttMs?: number | undefined;
  readonly certificate?: { readonly valid: boolean; readonly text: string } | undefined;
}

export interface RowsInput {
  readonly rows: readonly string[];
  /** From 1. */
  readonly thisPeer: number;
  readonly ownAddress: string | undefined;
  readonly ownNodeName: string;
  /** Verdict over this system's certificate against its own row. */
  readonly ownCertificate: { readonly valid: boolean; readonly text: string } | undefined;
  readonly links: readonly RowLink[];
  readonly runningDbNodes: readonly string[];
}

export function rowStatuses(input: RowsInput): PeerRowStatus[] {
  return input.rows.map((text, position) => {
    const index = position + 1;
    if (index === input.thisPeer) return ownRow(input, index, text);
    return otherRow(input, index, text);
  });
}

function ownRow(input: RowsInput, index: number, text: string): PeerRowStatus {
  return {
    index,
    text,
    address: input.ownAddress,
    state: 'This system',
    certificate: certificateLine(input.ownCertificate),
    clustering: { ok: true, text: 'Clustering: This system' },
    reason: undefined,
    rttMs: undefined,
    nodeName: input.ownNodeName,
  };
}

function otherRow(input: RowsInput, index: number, text: string): PeerRowStatus {
  const link = input.links.find((candidate) => candidate.index === index);
  const state = otherState(link, input.runningDbNodes);
  return {
    index,
    text,
    address: link?.address,
    state,
    // E55: whatever the clustering line says, the certificate that was seen is judged by itself.
    certificate: certificateLine(link?.certificate),
    clustering: clusteringLine(state, text, link),
    reason: state === 'Active' ? undefined : failureReason(state, link),
    rttMs: link?.state === 'up' ? link.rttMs : undefined,
    nodeName: link?.name,
  };
}

/** Of a verdict, what the page shows: the same for this system's row as for the others. */
function certificateLine(verdict: PeerRowStatus['certificate']): PeerRowStatus['certificate'] {
  return verdict === undefined ? undefined : { valid: verdict.valid, text: verdict.text };
}

function otherState(link: RowLink | undefined, running: readonly string[]): RowState {
  if (link === undefined || link.state === 'unknown') return 'Unknown';
  if (link.state === 'up') return link.name !== undefined && running.includes(link.name) ? 'Active' : 'Failed';
  // Dialling for the first time is no failure yet; dialling again after one is.
  if (link.state === 'connecting' && link.reason === undefined) return 'Unknown';
  return 'Failed';
}

function clusteringLine(state: RowState, text: string, link: RowLink | undefined): PeerRowStatus['clustering'] {
  if (state === 'Unknown') return { ok: undefined, text: 'Unknown' };
  if (state !== 'Active') return { ok: false, text: 'Failed' };
  const name = link?.shortName ?? shortName(link?.name ?? text);
  return { ok: true, text: `Clustering: Active as ${name} (Resolved '${text}' as '${link?.address ?? text}')` };
}

/** `peer1` of `clusterdb@peer1.example.com`. */
export function shortName(nodeName: string): string {
  const host = nodeName.slice(nodeName.indexOf('@') + 1);
  return host.split('.')[0]!;
}

function failureReason(state: RowState, link: RowLink | undefined): string | undefined {
  if (state === 'Unknown') return link?.address === undefined ? 'not resolved yet' : 'no contact attempted yet';
  if (link?.state === 'up') return 'linked, its database has not joined yet';
  return link?.reason;
}

export interface DatabaseInput {
  readonly isRunning: 'starting' | 'yes' | 'stopping' | 'no';
  readonly failure: string | undefined;
  /** Tables not loaded, with the nodes they wait for. */
  readonly awaiting: readonly { readonly table: string; readonly nodes: readonly string[] }[];
  readonly rows: readonly PeerRowStatus[];
}

export function databaseStatus(input: DatabaseInput): { status: DatabaseStatus; detail: string } {
  if (input.failure !== undefined) return { status: 'Failed', detail: input.failure };
  if (input.isRunning === 'stopping' || input.isRunning === 'no') {
    return { status: 'Failed', detail: 'the database of this peer is stopped' };
  }
  if (input.isRunning === 'starting' || input.awaiting.length > 0) {
    return { status: 'Starting', detail: awaitingText(input.awaiting) };
  }
  const others = input.rows.filter((row) => row.state !== 'This system');
  const joined = others.filter((row) => row.state === 'Active');
  if (others.length === 0) return { status: 'Active', detail: 'this peer is alone in its list' };
  if (joined.length === others.length) {
    return { status: 'Active', detail: `replicating with ${joined.length} of ${others.length} other peers` };
  }
  const missing = others.filter((row) => row.state !== 'Active').map((row) => row.text);
  return {
    status: 'Failed',
    detail: `replicating with ${joined.length} of ${others.length} other peers; missing: ${missing.join(', ')}`,
  };
}

export function awaitingText(awaiting: DatabaseInput['awaiting']): string {
  if (awaiting.length === 0) return 'reading tables from disc';
  const nodes = [...new Set(awaiting.flatMap((entry) => entry.nodes))].sort();
  const tables = awaiting.map((entry) => entry.table).join(', ');
  if (nodes.length === 0) return `loading ${tables}`;
  return `${tables}: waiting for ${nodes.map(shortName).join(', ')}, which may hold newer rows. xCommand ForceLoadTables goes on without`;
}
