/** Goal: whoever waits for the medium holds nobody else up, and hears only of what really is there. */
import { describe, expect, test } from 'vitest';
import { WriteQueue } from '../../../storage/disc/write-queue.ts';
import type { DiscFailure } from '../../../storage/environment.ts';

const FULL: DiscFailure = { code: 'disc_full', message: 'No space is left.' };

/** A disc whose syncs end when the test says so. */
class HeldDisc {
  readonly heard: string[] = [];
  readonly queue: WriteQueue;
  syncs = 0;
  #end: ((failure: DiscFailure | undefined) => void) | undefined;

  constructor() {
    this.queue = new WriteQueue(
      async () => undefined,
      () =>
        new Promise((resolve) => {
          this.syncs += 1;
          this.#end = resolve;
        }),
    );
  }

  write(name: string, sync: boolean): void {
    this.queue.write([], sync, (failure) => this.heard.push(failure === undefined ? name : `${name} ${failure.code}`));
  }

  async endSync(failure?: DiscFailure): Promise<void> {
    this.#end?.(failure);
    await turns();
  }
}

async function turns(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe('a queue of writes whose sync is an act of its own', () => {
  test('writes are answered while a sync is under way, and those that wait for the medium share the next', async () => {
    const disc = new HeldDisc();
    disc.write('synced 1', true);
    await turns();
    disc.write('plain 1', false);
    disc.write('synced 2', true);
    disc.write('plain 2', false);
    await turns();
    disc.write('synced 3', true);
    await turns();
    expect(disc.heard).toEqual(['plain 1', 'plain 2']);
    await disc.endSync();
    expect(disc.heard.slice(2)).toEqual(['synced 1']);
    await disc.endSync();
    expect(disc.heard.slice(3)).toEqual(['synced 2', 'synced 3']);
    expect(disc.syncs).toBe(2);
  });

  test('a sync that fails is told to those who waited for it, and nothing is tried after it', async () => {
    const disc = new HeldDisc();
    disc.write('synced', true);
    await turns();
    disc.write('before', false);
    await turns();
    await disc.endSync(FULL);
    disc.write('after', false);
    disc.write('synced after', true);
    await turns();
    await disc.endSync();
    expect(disc.heard).toEqual(['before', 'synced disc_full', 'after disc_full', 'synced after disc_full']);
    expect(disc.syncs).toBe(1);
  });

  test('after a failure every synced write hears of it, in a later turn as well, and the queue can be closed', async () => {
    const queue = new WriteQueue(
      async () => FULL,
      async () => undefined,
    );
    const heard: string[] = [];
    for (const name of ['first', 'second']) {
      queue.write([], true, (failure) => heard.push(`${name} ${failure?.code}`));
      await turns();
    }
    expect(heard).toEqual(['first disc_full', 'second disc_full']);
    await queue.close();
  });

  test('closing waits for the sync under way', async () => {
    const disc = new HeldDisc();
    disc.write('synced', true);
    await turns();
    let isClosed = false;
    const closed = disc.queue.close().then(() => {
      isClosed = true;
    });
    await turns();
    expect(isClosed).toBe(false);
    await disc.endSync();
    await closed;
    expect(disc.heard).toEqual(['synced']);
  });
});
