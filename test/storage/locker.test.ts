import { expect, test } from 'vitest';
import { isOlder, type LockHolder, TableLocks, type Waiter, WakeQueue } from '../../storage/transactions/locker.ts';

const [old, young, third] = [1, 2, 3].map((age): LockHolder => ({ age, node: 'a' })) as [
  LockHolder,
  LockHolder,
  LockHolder,
];

function setUp(): {
  locks: TableLocks;
  wake: WakeQueue;
  woken: string[];
  waiter: (name: string, age: number) => Waiter;
} {
  const wake = new WakeQueue();
  const woken: string[] = [];
  const waiter = (name: string, age: number): Waiter => ({ age, node: 'a', retry: () => woken.push(name) });
  return { locks: new TableLocks(wake), wake, woken, waiter };
}

test('M47 the older transaction is the one with the lower age, then the smaller node', () => {
  expect([isOlder(old, young), isOlder(young, old), isOlder(old, old)]).toEqual([true, false, false]);
  expect([
    isOlder({ age: 1, node: 'a' }, { age: 1, node: 'b' }),
    isOlder({ age: 1, node: 'b' }, { age: 1, node: 'a' }),
  ]).toEqual([true, false]);
});

test('M42 readers share a row', () => {
  const { locks } = setUp();
  locks.lockRead('k', old);
  locks.lockRead('k', young);
  expect([locks.held, locks.hasWriters, locks.isHeld('k')]).toEqual([2, false, true]);
  locks.unlockRead('k', old);
  expect(locks.conflictForWrite('k', third)).toBe(young);
  locks.unlockRead('k', young);
  expect([locks.held, locks.isHeld('k')]).toEqual([0, false]);
});

test('M43 a writer is alone at its row, and only there', () => {
  const { locks } = setUp();
  locks.lockWrite('k', old);
  expect(locks.conflictForWrite('k', young)).toBe(old);
  expect([locks.conflictForWrite('k', old), locks.conflictForWrite('l', young)]).toEqual([undefined, undefined]);
  expect([locks.writerOf('k'), locks.hasWriters]).toEqual([old, true]);
});

test('A reader may become the writer of its own row, unless another one reads it', () => {
  const { locks } = setUp();
  locks.lockRead('k', old);
  expect(locks.conflictForWrite('k', old)).toBeUndefined();
  locks.lockRead('k', young);
  expect(locks.conflictForWrite('k', old)).toBe(young);
});

test('M44 who read the whole table stands in the way of every writer but itself', () => {
  const { locks } = setUp();
  locks.lockTableRead(old);
  expect([locks.conflictForWrite('any', young), locks.conflictForWrite('any', old)]).toEqual([old, undefined]);
  locks.unlockTableRead(old);
  expect(locks.conflictForWrite('any', young)).toBeUndefined();
});

test('Locking twice counts once, and unlocking what one does not hold does nothing', () => {
  const { locks } = setUp();
  locks.lockWrite('k', old);
  locks.lockWrite('k', old);
  locks.unlockWrite('k', young);
  locks.unlockRead('k', young);
  locks.unlockTableRead(young);
  expect(locks.held).toBe(1);
  locks.unlockWrite('k', old);
  locks.unlockWrite('k', old);
  expect([locks.held, locks.isBusy]).toEqual([0, false]);
});

test('Those who wait at a row are woken when it is released, the oldest first, and only then', () => {
  const { locks, wake, woken, waiter } = setUp();
  locks.lockWrite('k', old);
  locks.lockWrite('l', old);
  locks.waitForRow('k', waiter('younger', 9));
  locks.waitForRow('k', waiter('older', 5));
  expect(locks.waiting).toBe(2);
  locks.unlockWrite('l', old);
  wake.drain();
  expect(woken).toEqual([]);
  locks.unlockWrite('k', old);
  expect([wake.isEmpty, locks.waiting]).toEqual([false, 0]);
  wake.drain();
  expect([woken, wake.isEmpty]).toEqual([['older', 'younger'], true]);
});

test('Who waits for the table is woken by the release of any row, of a table read, and of a freeze', () => {
  const { locks, wake, woken, waiter } = setUp();
  locks.lockWrite('k', old);
  locks.waitForTable(waiter('first', 1));
  locks.unlockWrite('k', old);
  locks.lockTableRead(old);
  locks.waitForTable(waiter('second', 2));
  locks.unlockTableRead(old);
  locks.freeze(7);
  locks.waitForRow('nobody holds it', waiter('third', 3));
  locks.unfreeze();
  wake.drain();
  expect([woken, locks.waiting]).toEqual([['first', 'second', 'third'], 0]);
});

test('M48 a freeze is a lock that shows, and does not count as a transaction', () => {
  const { locks } = setUp();
  locks.freeze(7);
  expect([locks.frozenBy, locks.held, locks.isBusy, locks.isInUse]).toEqual([7, 1, false, true]);
  locks.unfreeze();
  expect([locks.frozenBy, locks.held, locks.isInUse]).toEqual([0, 0, false]);
});

test('A waiter that waits again while it is woken is not lost', () => {
  const { locks, wake } = setUp();
  let tries = 0;
  const stubborn: Waiter = {
    age: 1,
    node: 'a',
    retry: () => {
      tries += 1;
      if (tries < 3) wake.add([stubborn]);
    },
  };
  locks.lockWrite('k', old);
  locks.waitForRow('k', stubborn);
  locks.unlockWrite('k', old);
  wake.drain();
  expect(tries).toBe(3);
});
