/**
 * Outside of merges the version of a row only rises on each replica, whoever wrote it: what comes late is skipped. Where it
 * does not, replicas are unlike until the next write of the row, which hides it.
 */

import type { Version } from '../../storage/types.ts';
import { isDirty } from './dirty-losses.ts';
import { compareVersions, type History } from './history.ts';

export function findFallen(history: History): { fallen: string[]; checked: number } {
  const fallen: string[] = [];
  let checked = 0;
  const ends = history.membership.filter(({ type }) => type === 'died');
  let end = 0;
  const standing = history.final.map(() => new Map<string, Version>());
  for (const row of history.rows) {
    for (; end < ends.length && (ends[end]?.atUs ?? 0) <= row.atUs; end++) standing[ends[end]?.node ?? 0]?.clear();
    if (!isDirty(row.table)) continue;
    const place = `${row.table}/${row.key}`;
    const before = standing[row.node]?.get(place);
    standing[row.node]?.set(place, row.version);
    if (before === undefined || row.origin === 'merge') continue;
    checked++;
    if (compareVersions(row.version, before) >= 0) continue;
    fallen.push(`node ${row.node + 1} put ${row.by} of ${place} in the place of a later version at ${row.atUs} µs`);
  }
  return { fallen, checked };
}
