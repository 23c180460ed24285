import { expect, test } from 'vitest';
import { divideIntoCliques } from '../../storage/replication/clique.ts';

/** `12 23`: 1 sees 2 and 2 sees 3. */
function divide(nodes: string, links: string, primary?: string): string {
  const known = new Set(links.split(' ').flatMap((link) => [link, [...link].reverse().join('')]));
  const islands = divideIntoCliques({ nodes: [...nodes], linked: (a, b) => known.has(a + b), primary });
  return islands.map((island) => island.join('')).join(' | ');
}

test.each([
  ['1 — 2 — 3 — 1: nobody leaves', '123', '12 23 13', undefined, '123'],
  ['1 · 2 · 3: three islands', '123', '', undefined, '1 | 2 | 3'],
  ['1 — 2   3: the pair stays', '123', '12', undefined, '12 | 3'],
  ['1 — 2 — 3 without 1 — 3: the smaller names stay', '123', '12 23', undefined, '12 | 3'],
  ['1 — 2 — 3 without 1 — 3, primary 3: the pair with the primary stays', '123', '12 23', '3', '23 | 1'],
  ['1 — 2 — 3 without 1 — 3, primary 2: in both pairs, so the smaller names', '123', '12 23', '2', '12 | 3'],
  ['a triangle and a pair: size goes before the primary', '12345', '12 13 23 34 45', '5', '123 | 45'],
  ['a square 1 — 2 — 3 — 4 — 1: two pairs', '1234', '12 23 34 14', undefined, '12 | 34'],
  ['a square, primary 4: its pair first', '1234', '12 23 34 14', '4', '14 | 23'],
  ['two triangles that share 3', '12345', '12 13 23 34 35 45', undefined, '123 | 45'],
  ['six nodes, one link missing', '123456', '12 13 14 15 23 24 25 26 34 35 36 45 46 56', undefined, '12345 | 6'],
  ['a star around 1 keeps one arm', '1234', '12 13 14', undefined, '12 | 3 | 4'],
  ['nobody', '', '', undefined, ''],
])('%s', (_, nodes, links, primary, expected) => {
  expect(divide(nodes, links, primary)).toBe(expected);
});

test('Every node is in exactly one island, and every island is a clique, for all 64 networks of four nodes', () => {
  const pairs = ['12', '13', '14', '23', '24', '34'];
  for (let mask = 0; mask < 64; mask++) {
    const links = pairs.filter((_, index) => (mask & (1 << index)) !== 0);
    const islands = divide('1234', links.join(' ')).split(' | ');
    expect([...islands.join('')].sort().join('')).toBe('1234');
    for (const island of islands) {
      for (const pair of pairs) {
        if ([...pair].every((node) => island.includes(node)))
          expect([mask, links]).toEqual([mask, expect.arrayContaining([pair])]);
      }
    }
  }
});
