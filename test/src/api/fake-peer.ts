/** A peer of three rows that remembers what it was asked. Its clock stands still until a test moves it. */
import type { LogRecord } from '../../../actors/otp/types.ts';
import type {
  AlarmStatus,
  ChangeSource,
  ClusterConfiguration,
  ConfigurationChange,
  LabHandle,
  PeerHandle,
  PeerStatus,
} from '../../../src/peer/peer-handle.ts';
import { rowStatuses } from '../../../src/peer/peer-status.ts';
import type { Clock, TimerHandle } from '../../../storage/environment.ts';

export class ManualClock implements Clock {
  nowMs = 1_000;
  readonly #timers = new Map<TimerHandle, { atMs: number; run: () => void }>();

  wallMs(): number {
    return 1_600_000_000_000 + this.nowMs;
  }
  monotonicMs(): number {
    return this.nowMs;
  }
  after(delayMs: number, run: () => void): TimerHandle {
    const handle = { timer: Symbol('timer') };
    this.#timers.set(handle, { atMs: this.nowMs + delayMs, run });
    return handle;
  }
  cancel(handle: TimerHandle): void {
    this.#timers.delete(handle);
  }
  advance(ms: number): void {
    this.nowMs += ms;
    for (const [handle, timer] of this.#timers) {
      if (timer.atMs > this.nowMs) continue;
      this.#timers.delete(handle);
      timer.run();
    }
  }
}

export const alarm20004: AlarmStatus = {
  id: '20004',
  uuid: '3bca6888-f622-11df-93be-07cc953d7b99',
  severity: 'warning',
  title: 'Cluster communication failure',
  description: 'The system is unable to communicate with one or more of the cluster peers',
  detail: 'Cluster communication failure: The system is unable to communicate with one or more of the cluster peers',
  raisedAt: '2026-11-22T13:00:00.000Z',
  node: 'clusterdb@peer1.example.com',
  remedy: 'Look at System > Clustering for the peer that has failed; check that it runs.',
};

export class FakePeer implements PeerHandle {
  readonly changes: { change: ConfigurationChange; source: ChangeSource }[] = [];
  readonly records: LogRecord[] = [];
  readonly listeners = new Set<() => void>();
  readonly logListeners = new Set<(line: string) => void>();
  lab: LabHandle | undefined;
  alarms: AlarmStatus[] = [];
  thirdPeerUp = true;
  refusal: Error | undefined;
  stored: ClusterConfiguration = {
    name: 'cluster.example.com',
    configurationPrimary: 1,
    ipVersion: 'IPv4',
    tlsVerify: 'Permissive',
    peers: ['peer1.example.com', 'peer2.example.com', 'peer3.example.com'],
    addressMapping: { enabled: true, mappings: [{ fqdn: 'peer1.example.com', ip: '10.15.13.15' }] },
  };

  status(): PeerStatus {
    const node = (n: number) => `clusterdb@peer${n}.example.com`;
    const peers = rowStatuses({
      rows: this.stored.peers,
      thisPeer: 1,
      ownAddress: '10.15.13.15',
      ownNodeName: node(1),
      ownCertificate: { valid: true, text: 'Certificate: Valid' },
      links: [2, 3].map((n) => ({
        index: n,
        address: `10.15.13.${14 + n}`,
        state: n === 3 && !this.thirdPeerUp ? ('failed' as const) : ('up' as const),
        name: node(n),
        shortName: `peer${n}`,
        reason: n === 3 && !this.thirdPeerUp ? 'connection refused: nothing listens there' : undefined,
        rttMs: 0.21 * n,
        certificate:
          n === 2
            ? { valid: false, text: 'Certificate: Invalid (Common Name in certificate does not match)' }
            : { valid: true, text: 'Certificate: Valid' },
      })),
      runningDbNodes: [node(1), node(2), ...(this.thirdPeerUp ? [node(3)] : [])],
    });
    return {
      version: '0.1.0',
      nodeId: 'n1',
      nodeName: node(1),
      systemName: 'peer1',
      pid: 1,
      uptimeMs: 90_000,
      at: '2026-11-22T13:00:00.000Z',
      cluster: {
        ...this.stored,
        tlsVerifyAtStart: 'Permissive',
        databaseStatus: this.thirdPeerUp ? 'Active' : 'Failed',
        databaseDetail: this.thirdPeerUp
          ? 'replicating with 2 of 2 other peers'
          : 'replicating with 1 of 2 other peers; missing: peer3.example.com',
        thisPeer: 1,
        peers,
        lastSynchronisation: '2026-11-22T12:59:00.000Z',
        nextSynchronisation: '2026-11-22T13:01:00.000Z',
      },
      addressMapping: this.stored.addressMapping,
      alarms: this.alarms,
      database: { runningDbNodes: [], dbNodes: [], tables: [], heldLocks: 0, ledgerCount: 0, mnesiaDown: [] },
      restartRequired: this.stored.tlsVerify !== 'Permissive',
      lab: this.lab !== undefined,
    };
  }
  configuration(): ClusterConfiguration {
    return this.stored;
  }
  alternatesConfiguration() {
    return [{ key: 1, value: { name: 'peer1', address: '10.15.13.15' } }];
  }
  async change(change: ConfigurationChange, source: ChangeSource): Promise<void> {
    if (this.refusal !== undefined) throw this.refusal;
    this.changes.push({ change, source });
    if (change.item === 'tlsVerify') this.stored = { ...this.stored, tlsVerify: change.value };
    this.changed();
  }
  tree() {
    return [];
  }
  table(name: string) {
    if (name !== 'alarms') return undefined;
    const table = {
      name,
      size: 1,
      loaded: true,
      storageType: 'ram_copies',
      digest: '0',
      awaiting: [],
      localContent: false,
    } as const;
    return { table, rows: [{ key: 1n, value: new Uint8Array([1, 255]) }], truncated: false };
  }
  ledger() {
    return [];
  }
  readonly restored: string[] = [];
  async restoreFromLedger(id: string): Promise<void> {
    this.restored.push(id);
  }
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
  changed(): void {
    for (const listener of this.listeners) listener();
  }
  recentLog(): readonly string[] {
    return [];
  }
  onLog(listener: (line: string) => void): () => void {
    this.logListeners.add(listener);
    return () => this.logListeners.delete(listener);
  }
  log(record: LogRecord): void {
    this.records.push(record);
  }
}
