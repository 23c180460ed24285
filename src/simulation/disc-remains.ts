/** What a node keeps on its disc because others may lack it; when all have everything, nothing of that is left. */
import {
  changedRange,
  type KeyRange,
  parseChangedKey,
  parsePromiseKey,
  parseRowKey,
  promiseRange,
  rowRange,
} from '../../storage/disc/key-space.ts';
import { decodeRecord } from '../../storage/disc/record-codec.ts';
import type { Disc } from '../../storage/environment.ts';
import { decodeKey, decodeValue } from '../../storage/term.ts';
import { keyText } from './history.ts';

/** Each as `table/key`; what is there for a node that lacks it, or voted for it, with that node before it. */
export interface DiscRemains {
  /** Rows that were deleted. */
  readonly tombstones: readonly string[];
  /** Keys that some node lacks. */
  readonly owed: readonly string[];
  /** Votes: how they stand, and of whose transaction. */
  readonly promises: readonly string[];
}

export async function discRemains(disc: Disc): Promise<DiscRemains> {
  const tombstones = await named(disc, rowRange(), (storeKey, value) => {
    const { table, encodedKey } = parseRowKey(storeKey);
    const key = decodeKey(encodedKey);
    return decodeRecord(value, table, key).deleted ? `${table}/${keyText(key)}` : undefined;
  });
  const owed = await named(disc, changedRange(), (storeKey) => {
    const { node, table, encodedKey } = parseChangedKey(storeKey);
    return `${node} ${table}/${keyText(decodeKey(encodedKey))}`;
  });
  const promises = await named(disc, promiseRange(), (storeKey, value) => {
    const [state] = decodeValue(value) as [string];
    return `${state} ${parsePromiseKey(storeKey).coordinator}`;
  });
  return { tombstones, owed, promises };
}

async function named(
  disc: Disc,
  { from, to }: KeyRange,
  name: (key: Uint8Array, value: Uint8Array) => string | undefined,
): Promise<string[]> {
  const names: string[] = [];
  await disc.scan(from, to, (entries) => {
    for (const [key, value] of entries) {
      const found = name(key, value);
      if (found !== undefined) names.push(found);
    }
  });
  return names;
}
