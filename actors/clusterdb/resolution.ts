/** What a peer row means: an address as it is, the mapping's, or a name for DNS. No waiting here. */
import { type ClusterConfiguration, type IpVersion, isAddressLiteral, mappedAddress } from './cluster-configuration.ts';
import type { ResolvedPeer } from './ports.ts';

/** Rows settled without DNS, and the names that are left (each once). */
export interface Resolution {
  readonly peers: readonly ResolvedPeer[];
  readonly names: readonly string[];
}

export type LookupOutcome =
  | { readonly ok: true; readonly address: string }
  | { readonly ok: false; readonly reason: string };

/** Mapping first, and then no DNS query at all for that row (E87); an address row needs neither. */
export function resolveLocally(configuration: ClusterConfiguration, ownIndex: number | undefined): Resolution {
  const names = new Set<string>();
  const peers = configuration.peers.map((text, at): ResolvedPeer => {
    const row = { index: at + 1, text, own: at + 1 === ownIndex };
    if (isAddressLiteral(text)) return { ...row, address: text, source: 'literal' };
    const mapped = mappedAddress(configuration, text);
    if (mapped !== undefined) return { ...row, address: mapped, source: 'mapping' };
    names.add(text.toLowerCase());
    return { ...row, address: undefined, source: 'none' };
  });
  return { peers, names: [...names] };
}

/** Fills in what DNS answered; a name that failed keeps the address it had, for a stale address beats none. */
export function withAnswers(
  peers: readonly ResolvedPeer[],
  answers: ReadonlyMap<string, LookupOutcome>,
  previous: readonly ResolvedPeer[],
): readonly ResolvedPeer[] {
  return peers.map((peer) => {
    if (peer.source !== 'none') return peer;
    const answer = answers.get(peer.text.toLowerCase());
    if (answer?.ok === true) return { ...peer, address: answer.address, source: 'dns' };
    const before = previous.find((one) => one.text.toLowerCase() === peer.text.toLowerCase() && one.source === 'dns');
    return before === undefined ? peer : { ...peer, address: before.address, source: 'dns' };
  });
}

/** Asks DNS for every name at once; never throws, so that one bad name costs the others nothing. */
export async function lookUpAll(
  names: readonly string[],
  ipVersion: IpVersion,
  lookup: (name: string, ipVersion: IpVersion) => Promise<string>,
): Promise<ReadonlyMap<string, LookupOutcome>> {
  const answers = await Promise.all(
    names.map(async (name): Promise<readonly [string, LookupOutcome]> => {
      try {
        return [name, { ok: true, address: await lookup(name, ipVersion) }];
      } catch (thrown) {
        return [name, { ok: false, reason: thrown instanceof Error ? thrown.message : String(thrown) }];
      }
    }),
  );
  return new Map(answers);
}
