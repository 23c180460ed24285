/**
 * The ledger of a running lab: every version that lost a conflict when a partition was healed.
 *
 *     npx tsx examples/lab-ledger.ts                  list it
 *     npx tsx examples/lab-ledger.ts --ids            only the ids
 *     npx tsx examples/lab-ledger.ts --restore ID     put the losing version of one entry back
 */

import { peersOfLab } from './support/lab.ts';
import { askPeer } from './support/peer-api.ts';
import { main, option, say } from './support/say.ts';

interface Side {
  readonly value: unknown;
  readonly deleted: boolean;
}

interface LedgerEntry {
  readonly id: string;
  readonly table: string;
  readonly key: unknown;
  readonly rule: string;
  readonly at: string;
  readonly winner: Side;
  readonly loser: Side;
  readonly islands: readonly (readonly string[])[];
  readonly restored: boolean;
}

const shown = ({ value, deleted }: Side) => (deleted ? 'deleted' : JSON.stringify(value));

main(async () => {
  const peers = peersOfLab(option('dir') ?? './lab');
  const peer = peers[Number(option('peer') ?? 1) - 1];
  if (peer === undefined) throw new RangeError(`The lab has peers 1 to ${peers.length}; --peer names another one.`);
  const id = option('restore');
  if (id !== undefined) {
    await askPeer(peer, 'POST', `ledger/${id}/restore`);
    say(`${id} is put back`);
    return;
  }
  const { entries } = await askPeer<{ entries: readonly LedgerEntry[] }>(peer, 'GET', 'ledger');
  if (process.argv.includes('--ids')) {
    for (const entry of entries) say(entry.id);
    return;
  }
  say(`${entries.length} ${entries.length === 1 ? 'entry' : 'entries'}`);
  for (const { id, table, key, rule, at, winner, loser, islands, restored } of entries) {
    say(`${id}  ${at}  rule ${rule}${restored ? ', restored' : ''}`);
    say(`  ${table} ${JSON.stringify(key)}`);
    say(`  won:  ${shown(winner)} of ${islands[0]?.join(', ')}`);
    say(`  lost: ${shown(loser)} of ${islands[1]?.join(', ')}`);
  }
});
