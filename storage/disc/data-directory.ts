/**
 * The data directory of a node: who it is, how often it started, and its store.
 *
 *     holder.json     the process that has it open, or had it open last
 *     identity.json   format, node id, incarnation; replaced as a whole, fsynced
 *     log/            what was written last, in the order it was written (logged-disc.ts)
 *     store/          LevelDB: everything else
 *
 * LevelDB's lock on `store/` is the lock of the whole directory: identity.json is only touched while it is held.
 * Nothing here deletes or renames anything of a node by itself.
 */
import { constants } from 'node:fs';
import { access, mkdir, open, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Clock, Disc, NodeId, Random } from '../environment.ts';
import { StorageError } from '../errors.ts';
import { codeOf, fileError, syncDirectory, textOf } from './file-errors.ts';
import { Level, openLevelStore } from './level-store.ts';
import { openLogFiles } from './log-files.ts';
import { LoggedDisc } from './logged-disc.ts';

/** Of the directory and of everything in the store. Raised when either changes so that an older program could err. */
export const FORMAT = 4;
/** Formats that are read as they are, and raised when the directory is opened. In 3 no record was marked as dirty. */
const READABLE: readonly number[] = [3, FORMAT];

const IDENTITY = 'identity.json';
const HOLDER = 'holder.json';
const IDENTITY_NEW = 'identity.json.new';
const STORE = 'store';
const LOG = 'log';
/** Octets of a node id, written as twice as many hex digits. */
const NODE_ID_OCTETS = 6;
const SET_ASIDE_MAX = 1000;

export interface DataDirectory {
  readonly path: string;
  /** Made once, kept for ever. */
  readonly nodeId: NodeId;
  /** Grows by one with each open, and is on the medium before this is handed out. */
  readonly incarnation: number;
  readonly disc: Disc;
  close(): Promise<void>;
}

interface Identity {
  readonly format: number;
  readonly nodeId: NodeId;
  readonly incarnation: number;
}

/** Opens the data directory at `path`, and makes it (mode 0700) when there is none. */
export async function openDataDirectory(path: string, random: Random, clock: Clock): Promise<DataDirectory> {
  const directory = resolve(path);
  await make(directory);
  await checkContents(directory);
  const known = await readIdentity(directory);
  const disc = await openDisc(directory, known === undefined, clock).catch(async (error: unknown) => {
    throw await inUse(error, directory);
  });
  try {
    await disc.open();
    // Read again under the lock: another process may have been here in between.
    const last = await readIdentity(directory);
    if (last === undefined) await checkEmpty(disc, directory);
    const identity: Identity = {
      format: FORMAT,
      nodeId: last?.nodeId ?? random.hex(NODE_ID_OCTETS),
      incarnation: (last?.incarnation ?? 0) + 1,
    };
    await writeIdentity(directory, identity);
    await writeFile(join(directory, HOLDER), `${JSON.stringify({ pid: process.pid })}\n`, {
      mode: 0o600,
    });
    const { nodeId, incarnation } = identity;
    return { path: directory, nodeId, incarnation, disc, close: () => disc.close() };
  } catch (error) {
    await disc.close();
    throw fileError(error, directory);
  }
}

/** The store's lock is held from here on. */
async function openDisc(directory: string, create: boolean, clock: Clock): Promise<LoggedDisc> {
  const pause = (): Promise<void> => new Promise((resolve) => clock.after(0, resolve));
  const store = await openLevelStore(join(directory, STORE), { create, pause });
  try {
    return new LoggedDisc({ store, files: await openLogFiles(join(directory, LOG)), clock });
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** Says who has the directory open, where that is why it cannot be opened. */
async function inUse(error: unknown, directory: string): Promise<unknown> {
  if (!(error instanceof StorageError) || error.code !== 'disc_locked') return error;
  const holder = await readFile(join(directory, HOLDER), 'utf8').then(holderText, () => 'another process');
  return new StorageError(
    'disc_locked',
    `${directory} is in use by ${holder}. Two databases cannot share one data directory: stop that process, or name ` +
      'another directory. Nothing was changed.',
    { cause: error },
  );
}

function holderText(text: string): string {
  const [, pid] = /"pid":(\d+)/.exec(text) ?? [];
  return pid === undefined ? 'another process' : `process ${pid}`;
}

export interface RepairReport {
  /** False when the store opened as it was, and nothing was done. */
  readonly repaired: boolean;
  /** Why it did not open before. */
  readonly damage: string | undefined;
  /** What the store holds now. */
  readonly entries: number;
}

/**
 * Lets LevelDB put together again what is left of a store that does not open. Files it cannot use it moves to
 * `store/lost`. Rows may be missing afterwards: the node has to compare its tables with another replica.
 */
export async function repairDataDirectory(path: string, clock: Clock): Promise<RepairReport> {
  const directory = resolve(path);
  const store = join(directory, STORE);
  await checkExists(directory);
  const damage = await damageOf(store);
  if (damage !== undefined) {
    try {
      await Level.repair(store);
    } catch (error) {
      throw new StorageError(
        'disc_corrupt',
        `The store in ${store} could not be repaired (${textOf(error)}). Set the data directory aside and let the node ` +
          'copy its tables from another one.',
        { cause: error },
      );
    }
  }
  const disc = await openDisc(directory, false, clock);
  try {
    return { repaired: damage !== undefined, damage, entries: await countEntries(disc) };
  } finally {
    await disc.close();
  }
}

/**
 * Renames the data directory, so that the next open begins with an empty one and a new node id. Returns the new path.
 * Nothing is deleted: what was in it can still be looked at.
 */
export async function setAsideDataDirectory(path: string): Promise<string> {
  const directory = resolve(path);
  await checkExists(directory);
  // A store that is damaged may be set aside, one that is in use may not: damageOf throws disc_locked.
  if (await exists(join(directory, STORE))) await damageOf(join(directory, STORE));
  for (let n = 1; n <= SET_ASIDE_MAX; n++) {
    const aside = `${directory}.set-aside-${n}`;
    if (await exists(aside)) continue;
    try {
      await rename(directory, aside);
      await syncDirectory(dirname(directory));
    } catch (error) {
      throw fileError(error, directory);
    }
    return aside;
  }
  throw new StorageError(
    'disc_io',
    `${directory} was set aside ${SET_ASIDE_MAX} times already. Move some of those away.`,
  );
}

/** Why the store does not open; undefined when it does. Throws when it is in use. */
async function damageOf(store: string): Promise<string | undefined> {
  try {
    const disc = await openLevelStore(store, { create: false });
    await disc.close();
    return undefined;
  } catch (error) {
    if (!(error instanceof StorageError) || error.code === 'disc_locked') throw error;
    return error.message;
  }
}

async function countEntries(disc: Disc): Promise<number> {
  let count = 0;
  await disc.scan(Uint8Array.of(0), Uint8Array.of(0xff), (entries) => {
    count += entries.length;
  });
  return count;
}

async function make(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw fileError(error, directory);
  }
}

/** A directory without an identity must be empty, but for what is left of an open that was cut short. */
async function checkContents(directory: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    throw fileError(error, directory);
  }
  if (names.includes(IDENTITY)) return;
  const strange = names.filter((name) => ![STORE, LOG, HOLDER, IDENTITY_NEW].includes(name));
  if (strange.length === 0) return;
  throw new StorageError(
    'disc_format',
    `${directory} is not a data directory: it has no ${IDENTITY}, but holds ${strange.slice(0, 3).join(', ')}. ` +
      'Name an empty directory, or one that does not exist yet.',
  );
}

async function checkEmpty(disc: Disc, directory: string): Promise<void> {
  if ((await countEntries(disc)) === 0) return;
  throw new StorageError(
    'disc_corrupt',
    `${directory} holds data but no ${IDENTITY}, so it is not known whose data it is. Put the file back from a backup, ` +
      'or set the data directory aside and let the node copy its tables from another one.',
  );
}

async function checkExists(directory: string): Promise<void> {
  if (await exists(directory)) return;
  throw new StorageError('disc_io', `There is no data directory at ${directory}. Check the path.`);
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path, constants.F_OK);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw fileError(error, path);
  }
}

async function readIdentity(directory: string): Promise<Identity | undefined> {
  const path = join(directory, IDENTITY);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw fileError(error, path);
  }
  return parseIdentity(text, path);
}

function parseIdentity(text: string, path: string): Identity {
  let read: Partial<Identity> | null;
  try {
    read = JSON.parse(text) as Partial<Identity> | null;
  } catch (error) {
    throw damagedIdentity(path, 'it is not JSON', error);
  }
  const { format, nodeId, incarnation } = read ?? {};
  if (typeof format !== 'number') throw damagedIdentity(path, 'it names no format');
  // Asked before anything else: what the fields of another format mean is not known.
  if (!READABLE.includes(format)) {
    throw new StorageError(
      'disc_format',
      `${path} says format ${format}; this program knows format ${FORMAT}, and takes over ${READABLE[0]}. ` +
        `Use the version of the program that wrote it, or name another data directory. Nothing was changed.`,
    );
  }
  if (typeof nodeId !== 'string' || !/^[0-9a-f]{12,32}$/.test(nodeId))
    throw damagedIdentity(path, 'its node id is not one');
  if (!Number.isSafeInteger(incarnation) || (incarnation as number) < 1) {
    throw damagedIdentity(path, 'its incarnation is not a count');
  }
  return { format, nodeId, incarnation: incarnation as number };
}

/** Whole or not at all: a new file, fsynced, renamed over the old one, and the directory fsynced. */
async function writeIdentity(directory: string, identity: Identity): Promise<void> {
  const path = join(directory, IDENTITY_NEW);
  const file = await open(path, 'w', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(identity)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(path, join(directory, IDENTITY));
  await syncDirectory(directory);
}

function damagedIdentity(path: string, what: string, cause?: unknown): StorageError {
  return new StorageError(
    'disc_corrupt',
    `${path} is damaged: ${what}. Put the file back from a backup, or set the data directory aside and let the node ` +
      'copy its tables from another one. Nothing was changed.',
    { cause },
  );
}
