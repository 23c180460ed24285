import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { identify } from '../../../src/lab/processes.ts';
import {
  findLab,
  type Lab,
  labFiles,
  peerCondition,
  readLab,
  requirePeer,
  requireRunning,
  updateLab,
  updatePeer,
} from '../../../src/lab/state.ts';
import { stateOnlyLab, temporaryDirectory } from './support.ts';

let home: ReturnType<typeof temporaryDirectory>;
let lab: Lab;
beforeEach(() => {
  home = temporaryDirectory();
  lab = stateOnlyLab(home.path, 2);
});
afterEach(() => home.remove());

/** The pid of a process that has ended. */
function endedPid(): number {
  return spawnSync(process.execPath, ['--version']).pid;
}

describe('the state file of a lab', () => {
  test('changes made at the same time are all kept', async () => {
    const add = () => updateLab(lab.directory, (state) => ({ ...state, clusterName: `${state.clusterName}x` }));
    await Promise.all(Array.from({ length: 20 }, add));
    expect(readLab(lab.directory).state.clusterName).toBe(`${lab.state.clusterName}${'x'.repeat(20)}`);
    expect(readdirSync(lab.directory)).not.toContain(labFiles.lock);
  });

  test('a change that throws leaves the state as it was and the lock free', async () => {
    const failing = updateLab(lab.directory, () => {
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(readLab(lab.directory).state).toEqual(lab.state);
    expect(existsSync(join(lab.directory, labFiles.lock))).toBe(false);
  });

  test('a lock left behind by a process that is gone does not hold anybody up', async () => {
    writeFileSync(join(lab.directory, labFiles.lock), JSON.stringify({ pid: endedPid(), identity: 'gone' }));
    await updatePeer(lab.directory, 1, { stop: { how: 'killed', at: 'now' } });
    expect(readLab(lab.directory).state.peers[0]?.stop?.how).toBe('killed');
  });

  test.each([
    ['is cut short', '{"format": 1, "peers": ['],
    ['is of another format', '{"format": 2, "clusterName": "x", "peers": [], "supervisor": null}'],
    ['names a folder outside the lab', undefined],
  ])('one that %s is refused with what to do', (_, text) => {
    const outside = { ...lab.state, peers: lab.state.peers.map((peer) => ({ ...peer, folder: '../elsewhere' })) };
    writeFileSync(join(lab.directory, labFiles.state), text ?? JSON.stringify(outside));
    expect(() => readLab(lab.directory)).toThrow(expect.objectContaining({ code: 'lab_unreadable' }));
  });

  test('a directory without one is no lab', () => {
    expect(findLab(home.path)).toBeUndefined();
    expect(() => readLab(home.path)).toThrow(expect.objectContaining({ code: 'no_lab' }));
  });

  test('a peer that the lab does not have is refused with the numbers it has', () => {
    expect(() => requirePeer(lab, 3)).toThrow(/made with 2 peer\(s\) – use a number from 1 to 2/);
  });
});

describe('what a lab knows of a peer', () => {
  const started = { startedAt: '2026-11-22T10:00:00.000Z' };

  test('a peer that was never started, one that died, and one that a command killed are told apart', async () => {
    const { state } = lab;
    const peer = state.peers[0]!;
    const ended = { pid: endedPid(), identity: 'gone', ...started };
    expect(peerCondition(peer)).toBe('never started');
    expect(peerCondition({ ...peer, process: ended })).toBe('died');
    expect(peerCondition({ ...peer, process: ended, stop: { how: 'killed', at: 'now' } })).toBe('killed');
    expect(peerCondition({ ...peer, process: { ...identify(process.pid)!, ...started } })).toBe('running');
  });

  test('another process that has got the pid of a dead peer is not taken for the peer', () => {
    const recycled = { pid: process.pid, identity: 'of an earlier process', ...started };
    expect(peerCondition({ ...lab.state.peers[0]!, process: recycled })).toBe('died');
  });

  test('a command for a peer that does not run says why it does not and how to start it', async () => {
    const process = { pid: endedPid(), identity: 'gone', ...started };
    const changed = await updatePeer(lab.directory, 2, {
      process,
      stop: { how: 'killed', at: '2026-11-22T10:00:00Z' },
    });
    expect(() => requireRunning(changed, 2)).toThrow(
      'Peer 2 does not run – it was killed by `lab kill` at 2026-11-22T10:00:00Z – start it with `peerage lab start 2`',
    );
  });
});
