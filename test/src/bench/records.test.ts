import { Packr } from 'msgpackr';
import { describe, expect, test } from 'vitest';
import { firstState, incremented, nextState, rowOf, saltOf } from '../../../src/bench/records.ts';

describe('the sequence of keys', () => {
  test('is x·16807 mod 2³¹−1, exactly, from any state', () => {
    for (let state = 1; state < 2_147_483_647; state += 12_345_677) {
      expect(nextState(state)).toBe(Number((BigInt(state) * 16_807n) % 2_147_483_647n));
    }
    expect(nextState(2_147_483_646)).toBe(2_147_483_647 - 16_807);
  });

  test('begins for client i of a node with a salt at 1000 + salt + 7919·i', () => {
    expect([firstState(1, 0), firstState(2, 0), firstState(64, 17)]).toEqual([8919, 16_838, 1000 + 17 + 64 * 7919]);
  });

  test('of two clients hardly ever meets', () => {
    let [left, right] = [firstState(1, 0), firstState(2, 0)];
    let met = 0;
    for (let step = 0; step < 10_000; step++) {
      left = nextState(left);
      right = nextState(right);
      if (left % 10_000 === right % 10_000) met += 1;
    }
    expect(met).toBeLessThan(20);
  });

  test('every node has a salt of its own, below 1000 and the same every time', () => {
    const salts = [1, 2, 3].map((number) => saltOf(`clusterdb@n${number}.bench.example`));
    expect(new Set(salts).size).toBe(3);
    expect(salts.every((salt) => Number.isInteger(salt) && salt >= 0 && salt < 1000)).toBe(true);
    expect(saltOf('clusterdb@n1.bench.example')).toBe(salts[0]);
  });
});

describe('a record', () => {
  test('has about 100 octets of payload and ten keys to a group', () => {
    const { val } = rowOf(1234, 5);
    expect(rowOf(1234, 5).grp).toBe(123);
    const octets = new Packr({ useRecords: false }).pack(val).byteLength;
    expect(octets).toBeGreaterThan(90);
    expect(octets).toBeLessThan(140);
  });

  test('is counted up without being changed itself', () => {
    const row = rowOf(7, 41);
    expect(incremented(row)).toEqual(rowOf(7, 42));
    expect(row.val.n).toBe(41);
  });
});
