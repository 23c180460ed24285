import { expect, test } from 'vitest';
import { keepEarlyEvents } from '../../../actors/index.ts';
import { EARLY_EVENTS_MAX } from '../../../actors/peer-tree.ts';
import type { SystemEvent } from '../../../storage/index.ts';

function up(node: string): SystemEvent {
  return { type: 'mnesia_up', node };
}

function start() {
  const listeners = new Set<(event: SystemEvent) => void>();
  const told: unknown[] = [];
  const database = {
    subscribeSystem(listener: (event: SystemEvent) => void) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const events = keepEarlyEvents(database, { send: (to, message) => void told.push([to, message]) });
  const emit = (event: SystemEvent) => {
    for (const listener of listeners) listener(event);
  };
  return { events, told, emit };
}

test('what the database says before there are actors is told to cdb when there are, in order and before what comes later', () => {
  const { events, told, emit } = start();
  emit(up('a'));
  emit(up('b'));
  expect(told).toEqual([]);
  events.release();
  emit(up('c'));
  expect(told).toEqual([up('a'), up('b'), up('c')].map((event) => ['cdb', event]));
});

test('of a start that takes for ever only the newest events are kept, and none after its end', () => {
  const { events, told, emit } = start();
  for (let at = 0; at <= EARLY_EVENTS_MAX; at += 1) emit(up(`node-${at}`));
  events.release();
  expect(told).toHaveLength(EARLY_EVENTS_MAX);
  expect(told[0]).toEqual(['cdb', up('node-1')]);
  events.stop();
  emit(up('late'));
  expect(told).toHaveLength(EARLY_EVENTS_MAX);
});
