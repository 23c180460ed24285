/** Goal: a data directory keeps who the node is, counts its starts, and never loses or hides anything by itself. */
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openDataDirectory, repairDataDirectory, setAsideDataDirectory } from '../../../storage/disc/data-directory.ts';
import { createClock } from '../../../storage/local-environment.ts';
import { contents, put, write } from './conformance.ts';
import { createSeededRandom } from './virtual-clock.ts';

let root: string;
let path: string;
const random = createSeededRandom(1);
const clock = createClock();

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'peerage-data-'));
  path = join(root, 'a', 'data');
});
afterEach(() => rm(root, { recursive: true }));

/** Opens, writes one entry, closes. */
async function useOnce(): Promise<{ nodeId: string; incarnation: number }> {
  const { nodeId, incarnation, disc, close } = await openDataDirectory(path, random, clock);
  await write(disc, [put('a', '1')], true);
  await close();
  return { nodeId, incarnation };
}

describe('a data directory', () => {
  test('is made, for its owner only, when there is none', async () => {
    await useOnce();
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    expect((await readdir(path)).sort()).toEqual(['holder.json', 'identity.json', 'log', 'store']);
  });

  test('keeps its node id and its rows, and counts each open', async () => {
    const first = await useOnce();
    expect(first.nodeId).toMatch(/^[0-9a-f]{12}$/);
    expect(first.incarnation).toBe(1);
    expect(await useOnce()).toEqual({ nodeId: first.nodeId, incarnation: 2 });
    const third = await openDataDirectory(path, random, clock);
    expect(third).toMatchObject({ nodeId: first.nodeId, incarnation: 3 });
    // On the medium while the node runs, not only once it stops.
    expect(JSON.parse(await readFile(join(path, 'identity.json'), 'utf8'))).toMatchObject({ incarnation: 3 });
    expect(await contents(third.disc)).toEqual([['a', '1']]);
    await third.close();
  });

  test('open elsewhere is refused as disc_locked, and the count stays as it was', async () => {
    const holder = await openDataDirectory(path, random, clock);
    await expect(openDataDirectory(path, random, clock)).rejects.toMatchObject({
      code: 'disc_locked',
      message: expect.stringContaining('stop that process'),
    });
    await expect(setAsideDataDirectory(path)).rejects.toMatchObject({ code: 'disc_locked' });
    await expect(repairDataDirectory(path, clock)).rejects.toMatchObject({ code: 'disc_locked' });
    await holder.close();
    expect((await useOnce()).incarnation).toBe(2);
  });

  // Moments of formats 1 and 2 were counted from another year: a clock that has seen one would be decades ahead for ever.
  test.each([1, 2, 5])(
    'of format %i is refused as disc_format, names the known one, and is left alone',
    async (format) => {
      await useOnce();
      const other = `{"format":${format},"nodeId":"a1b2c3d4e5f6","incarnation":7}`;
      await writeFile(join(path, 'identity.json'), other);
      await expect(openDataDirectory(path, random, clock)).rejects.toMatchObject({
        code: 'disc_format',
        message: expect.stringMatching(new RegExp(`says format ${format}; this program knows format 4`)),
      });
      expect(await readFile(join(path, 'identity.json'), 'utf8')).toBe(other);
    },
  );

  test('of format 3, which knew no dirty records, is taken over with what it holds, and raised to 4', async () => {
    const before = await useOnce();
    const identity = join(path, 'identity.json');
    const { nodeId } = JSON.parse(await readFile(identity, 'utf8')) as { nodeId: string };
    await writeFile(identity, `{"format":3,"nodeId":"${nodeId}","incarnation":7}`);
    expect(await useOnce()).toEqual({ ...before, incarnation: 8 });
    expect(JSON.parse(await readFile(identity, 'utf8'))).toEqual({ format: 4, nodeId, incarnation: 8 });
  });

  test('that holds something else is refused as disc_format', async () => {
    await mkdir(path, { recursive: true });
    await writeFile(join(path, 'notes.txt'), 'mine');
    await expect(openDataDirectory(path, random, clock)).rejects.toMatchObject({ code: 'disc_format' });
    expect(await readdir(path)).toEqual(['notes.txt']);
  });

  test.each([
    'not json',
    'null',
    '{}',
    '{"format":4}',
    '{"format":4,"nodeId":"../../x","incarnation":1}',
    '{"format":4,"nodeId":"a1b2c3d4e5f6","incarnation":-1}',
  ])('with the identity %s is refused as disc_corrupt', async (text) => {
    await useOnce();
    await writeFile(join(path, 'identity.json'), text);
    await expect(openDataDirectory(path, random, clock)).rejects.toMatchObject({ code: 'disc_corrupt' });
    expect(await readFile(join(path, 'identity.json'), 'utf8')).toBe(text);
  });

  test('whose identity is lost while it holds data is refused: whose data is it', async () => {
    await useOnce();
    await rm(join(path, 'identity.json'));
    await expect(openDataDirectory(path, random, clock)).rejects.toMatchObject({ code: 'disc_corrupt' });
  });

  test('whose first open was cut short is made by the next', async () => {
    await useOnce();
    const empty = join(root, 'empty');
    await mkdir(join(empty, 'store'), { recursive: true });
    await writeFile(join(empty, 'identity.json.new'), '{"form');
    path = empty;
    expect((await useOnce()).incarnation).toBe(1);
  });

  test('at a path that is a file is disc_io with the reason', async () => {
    await writeFile(join(root, 'file'), '');
    await expect(openDataDirectory(join(root, 'file'), random, clock)).rejects.toMatchObject({
      code: 'disc_io',
      message: expect.stringContaining('Check that the path is right'),
    });
  });
});

describe('a data directory whose store does not open', () => {
  async function damage(): Promise<void> {
    await useOnce();
    await rm(join(path, 'store', 'CURRENT'));
  }

  test('is disc_corrupt, and nothing in it is changed', async () => {
    await damage();
    const before = (await readdir(join(path, 'store'))).filter((name) => !name.startsWith('LOG')).sort();
    await expect(openDataDirectory(path, random, clock)).rejects.toMatchObject({
      code: 'disc_corrupt',
      message: expect.stringContaining('Repair the data directory'),
    });
    expect((await readdir(join(path, 'store'))).filter((name) => !name.startsWith('LOG')).sort()).toEqual(before);
  });

  test('is repaired when asked, keeps its node id, and the rows are there', async () => {
    const { nodeId } = await useOnce();
    await rm(join(path, 'store', 'CURRENT'));
    expect(await repairDataDirectory(path, clock)).toMatchObject({
      repaired: true,
      damage: expect.any(String),
      entries: 1,
    });
    const again = await openDataDirectory(path, random, clock);
    expect(again).toMatchObject({ nodeId, incarnation: 2 });
    expect(await contents(again.disc)).toEqual([['a', '1']]);
    await again.close();
  });

  test('that is sound is left as it is by a repair', async () => {
    await useOnce();
    expect(await repairDataDirectory(path, clock)).toEqual({ repaired: false, damage: undefined, entries: 1 });
    await expect(repairDataDirectory(join(root, 'nowhere'), clock)).rejects.toMatchObject({ code: 'disc_io' });
  });

  test('is set aside when asked, whole, and a new node begins in its place', async () => {
    const { nodeId } = await useOnce();
    await rm(join(path, 'store', 'CURRENT'));
    expect(await setAsideDataDirectory(path)).toBe(`${path}.set-aside-1`);
    expect(await readdir(`${path}.set-aside-1`)).toContain('identity.json');
    const fresh = await useOnce();
    expect(fresh.incarnation).toBe(1);
    expect(fresh.nodeId).not.toBe(nodeId);
    expect(await setAsideDataDirectory(path)).toBe(`${path}.set-aside-2`);
  });
});
