import { expect, test } from 'vitest';
import { KeptKinds } from '../../src/simulation/kept-kinds.ts';
import { MOVING_TABLE } from '../../src/simulation/schema-operations.ts';
import { schemaKey } from '../../storage/disc/key-space.ts';
import type { Disc, DiscFailure } from '../../storage/environment.ts';
import { encodeValue } from '../../storage/term.ts';
import type { StorageKind } from '../../storage/types.ts';

test('A replica whose kind was changed is where its node put it once that is written, and not before', () => {
  const kinds = new KeptKinds();
  const underWay: ((failure: DiscFailure | undefined) => void)[] = [];
  const disc = kinds.watching({ write: (_, __, done) => void underWay.push(done) } as Pick<Disc, 'write'> as Disc, 'a');
  const define = (table: string, kind: StorageKind, failure?: DiscFailure): boolean[] => {
    const value = encodeValue({
      replicas: [
        ['a', kind],
        ['b', 'disc_copies'],
      ],
    });
    disc.write([{ type: 'put', key: schemaKey(table), value }], false, () => undefined);
    const before = kinds.isOnDisc('a');
    underWay.shift()?.(failure);
    return [before, kinds.isOnDisc('a')];
  };
  expect(define(MOVING_TABLE, 'ram_copies')).toEqual([false, false]);
  expect(define('another', 'disc_copies')).toEqual([false, false]);
  expect(define(MOVING_TABLE, 'disc_copies', { code: 'disc_io', message: 'broken' })).toEqual([false, false]);
  expect(define(MOVING_TABLE, 'disc_copies')).toEqual([false, true]);
  expect(define(MOVING_TABLE, 'ram_copies')).toEqual([true, false]);
});

test('What a disc has lost is said by the one that is watched, also when it is found out later', () => {
  const disc: { -readonly [Part in keyof Disc]?: Disc[Part] } = {};
  const watched = new KeptKinds().watching(disc as Disc, 'a');
  expect(watched.loss).toBeUndefined();
  disc.loss = { first: 3, last: 5, setAside: [] };
  expect(watched.loss).toEqual({ first: 3, last: 5, setAside: [] });
});
