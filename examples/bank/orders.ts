/** What the example says to its tellers, and what they answer. */
export const TABLES = ['accounts', 'transfers'] as const;
export const START_BALANCE = 1_000;

export interface TellerNetwork {
  readonly bindAddress: string;
  readonly addresses: readonly string[];
  readonly port: number;
  readonly certificate: string;
  readonly privateKey: string;
  readonly authority: string;
  readonly clusterKeyHex: string;
}

export type Order =
  | {
      readonly type: 'open';
      readonly directory: string;
      readonly nodeName: string;
      readonly network: TellerNetwork;
    }
  | { readonly type: 'seed'; readonly accounts: number }
  | { readonly type: 'run'; readonly accounts: number; readonly clients: number; readonly durationMs: number }
  | { readonly type: 'audit' }
  | { readonly type: 'close' };

export interface Audit {
  readonly type: 'audit';
  readonly sum: number;
  /** Ids of all transfers this replica holds. */
  readonly transfers: readonly string[];
  readonly digests: string;
  readonly nodes: number;
}

export type Answer =
  | Audit
  | { readonly type: 'open' }
  | { readonly type: 'done' }
  | { readonly type: 'acknowledged'; readonly id: string }
  | { readonly type: 'refused'; readonly reason: string };
