/** A disc that is damaged when a node starts: said, not served, and mended from the others. */
import { mkdtemp, readdir, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { rowKey, schemaKey } from '../../storage/disc/key-space.ts';
import type { Disc } from '../../storage/environment.ts';
import { openDatabase } from '../../storage/local-environment.ts';
import { encodeKey } from '../../storage/term.ts';
import type { SystemEvent } from '../../storage/types.ts';
import { Cluster } from './support/cluster.ts';

/** Changes an octet of what the disc holds under `key`. */
async function damageEntry(disc: Disc, key: Uint8Array, at: number): Promise<void> {
  const value = (await disc.get(key)) as Uint8Array;
  value[at] = (value[at] as number) ^ 0x01;
  const failure = await new Promise((resolve) => disc.write([{ type: 'put', key, value }], true, resolve));
  expect(failure).toBeUndefined();
}

test('A damaged record is named, not served, and another replica gives the row back', async () => {
  const cluster = await Cluster.start(2);
  await cluster.createTable('t');
  await cluster.node(1).write('t', 'a', 1);
  await cluster.node(1).write('t', 'b', 2);
  await cluster.advance(2_000);
  const { disc } = cluster.node(2);
  await cluster.settle(damageEntry(disc, rowKey('t', encodeKey('a')), 17));
  await cluster.node(2).stop();
  cluster.node(1).kill();
  await cluster.node(2).start();
  const { db } = cluster.node(2);
  await cluster.advance(10);
  const damage = { kind: 'record', table: 't', key: 'a', message: expect.stringContaining('key "a" of table "t"') };
  expect(db.systemInfo().discDamage).toMatchObject([damage]);
  expect(cluster.node(2).eventsOf('disc_damaged')).toMatchObject([{ damage }]);
  await db.forceLoadTable('t');
  expect([db.dirtyRead('t', 'a'), db.dirtyRead('t', 'b')]).toEqual([undefined, 2]);
  await cluster.node(1).start();
  await cluster.together();
  await cluster.advance(1_000);
  expect(cluster.nodes.map((node) => node.db.dirtyRead('t', 'a'))).toEqual([1, 1]);
});

describe('a database whose directory was damaged while it was stopped', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'peerage-damage-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  test('tells of acknowledged writes that are gone, serves what was before them, and goes on', async () => {
    const first = await openDatabase({ directory, nodeName: 'clusterdb@a' });
    await first.database.createTable({ name: 't', disc_copies: ['clusterdb@a'] });
    for (let i = 0; i < 50; i++) await first.database.syncTransaction((tx) => tx.write('t', i, 'x'.repeat(100)));
    await new Promise((resolve) => setTimeout(resolve, 250));
    await first.database.syncTransaction((tx) => tx.write('t', 'last', 'x'));
    await first.close();
    const [file] = (await readdir(join(directory, 'log'))).filter((name) => name.endsWith('.turns')) as [string];
    const path = join(directory, 'log', file);
    await truncate(path, Math.floor((await stat(path)).size / 2));

    const { database, close } = await openDatabase({ directory, nodeName: 'clusterdb@a' });
    const events: SystemEvent[] = [];
    database.subscribeSystem((event) => events.push(event));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const damage = { kind: 'lost_end', message: expect.stringContaining(`${path}.damaged`) };
    expect(database.systemInfo().discDamage).toMatchObject([damage]);
    expect(events.filter((event) => event.type === 'disc_damaged')).toMatchObject([{ damage }]);
    const keys = database.dirtyAllKeys('t').sort((a, b) => Number(a) - Number(b));
    expect(keys.length).toBeGreaterThan(10);
    expect(keys).toEqual(Array.from({ length: keys.length }, (_, i) => i));
    await database.dirtyWrite('t', 'after', 1);
    await close();
  });

  test('whose schema cannot be understood does not open, and says so as disc_corrupt', async () => {
    const cluster = await Cluster.start(1);
    await cluster.createTable('t');
    const node = cluster.node(1);
    const broken = new Promise((resolve) =>
      node.disc.write([{ type: 'put', key: schemaKey('t'), value: Uint8Array.of(0xc1) }], true, resolve),
    );
    await cluster.settle(broken);
    await node.stop();
    await expect(node.start()).rejects.toMatchObject({
      code: 'disc_corrupt',
      message: expect.stringContaining('the schema'),
    });
  });

  test('that another database has open is disc_locked', async () => {
    const first = await openDatabase({ directory });
    await expect(openDatabase({ directory })).rejects.toMatchObject({
      code: 'disc_locked',
      message: expect.stringMatching(
        new RegExp(`in use by process ${process.pid}\\..*stop that process, or name another`),
      ),
    });
    await first.database.createTable({ name: 'goes_on' });
    await first.close();
  });
});
