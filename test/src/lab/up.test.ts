import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runProgram } from '../../../src/cli/program.ts';
import { labKill, labStart } from '../../../src/lab/control.ts';
import { labDown } from '../../../src/lab/down.ts';
import { conditionOf, identify, sendSignal } from '../../../src/lab/processes.ts';
import { findLab, type Lab, peerCondition, readLab, updateLab } from '../../../src/lab/state.ts';
import { type LabUpOptions, labUp } from '../../../src/lab/up.ts';
import { newLab, recordingTerminal, temporaryDirectory } from './support.ts';

const command = [process.execPath, fileURLToPath(new URL('fake-peer.mjs', import.meta.url))] as const;

let home: ReturnType<typeof temporaryDirectory>;
let lab: Lab;
beforeEach(async () => {
  home = temporaryDirectory();
  lab = await newLab(home.path, 2);
});
afterEach(() => {
  const left = findLab(lab.directory)?.state.peers ?? [];
  for (const { process } of left) if (process !== null) sendSignal(process, 'SIGKILL');
  home.remove();
});

function upOptions(change: Partial<LabUpOptions> = {}): LabUpOptions {
  return { directory: lab.directory, detach: true, newPassword: false, json: false, command, ...change };
}

function behave(index: number, behaviour: string): void {
  writeFileSync(join(lab.directory, `peer${index}`, 'behaviour'), behaviour);
}

const state = () => readLab(lab.directory).state;
const conditions = () => state().peers.map(peerCondition);

async function run(...words: string[]) {
  const terminal = recordingTerminal();
  const code = await runProgram([...words, '--dir', lab.directory], terminal);
  return { code, out: terminal.text(), err: terminal.errors.join('\n') };
}

const down = (purge = false) => labDown({ directory: lab.directory, purge, json: false }, recordingTerminal());

describe('lab up', () => {
  test('it starts every peer, waits for them, warns, and says what to try next', async () => {
    const terminal = recordingTerminal();
    expect(await labUp(upOptions(), terminal)).toBe(0);
    expect(conditions()).toEqual(['running', 'running']);
    for (const peer of state().peers) expect(terminal.text()).toContain(peer.url);
    expect(terminal.text()).toContain('!! THIS IS A LAB');
    expect(terminal.text()).toMatch(/npx peerage lab kill 2 --dir /);
    expect(terminal.errors.join('\n')).toContain('waiting for peer');
    expect(await down()).toBe(0);
    expect(conditions()).toEqual(['stopped', 'stopped']);
  });

  test('as JSON it gives what a script needs, with the password only when it is new', async () => {
    const terminal = recordingTerminal();
    await labUp(upOptions({ json: true, newPassword: true }), terminal);
    const result = JSON.parse(terminal.text());
    expect(result).toMatchObject({
      directory: lab.directory,
      user: 'admin',
      password: expect.stringMatching(/^\w{5}-/),
    });
    expect(result.peers.map((peer: { pid: number }) => identify(peer.pid))).not.toContain(undefined);
    await down();
    const again = recordingTerminal();
    await labUp(upOptions({ json: true }), again);
    expect(JSON.parse(again.text()).password).toBeNull();
  });

  test('a lab that runs is not started twice', async () => {
    await labUp(upOptions(), recordingTerminal());
    await expect(labUp(upOptions(), recordingTerminal())).rejects.toMatchObject({ code: 'lab_already_running' });
    expect(conditions()).toEqual(['running', 'running']);
  });

  test('a lab of two peers is not made one of three', async () => {
    const other = labUp(upOptions({ peers: 3 }), recordingTerminal());
    await expect(other).rejects.toMatchObject({ code: 'lab_size_differs' });
  });

  test('a peer that dies at the start is named with its last words, and the others are not left behind', async () => {
    behave(2, 'die');
    const failure: unknown = await labUp(upOptions(), recordingTerminal()).catch((reason: unknown) => reason);
    expect(failure).toMatchObject({ code: 'lab_peer_died' });
    expect(String(failure)).toMatch(
      /Peer 2 ended while the lab was starting \(exit code 7\)[\s\S]*the disc is on fire/,
    );
    expect(conditions()).toEqual(['stopped', 'died']);
    expect(state().supervisor).toBeNull();
  });

  test('peers that never get ready end it with what was awaited', async () => {
    behave(1, 'never');
    const failure = labUp(upOptions({ readyMsMax: 4_000 }), recordingTerminal());
    await expect(failure).rejects.toThrow(/not ready within 4 s – still waiting for the link between peers 1–2/);
    expect(conditions()).toEqual(['stopped', 'stopped']);
  });
});

describe('lab up in the foreground', () => {
  test('it tells what becomes of its peers, keeps the others, and stops them in order when asked to end', async () => {
    const terminal = recordingTerminal();
    const ended = labUp(upOptions({ detach: false }), terminal);
    await expect.poll(() => terminal.text(), { timeout: 15_000 }).toContain('THIS IS A LAB');
    expect(state().supervisor).toEqual(identify(process.pid));
    const told = () => terminal.errors.join('\n');

    sendSignal(state().peers[1]!.process!, 'SIGKILL');
    await expect.poll(told, { timeout: 5_000 }).toContain('peer 2 DIED (signal SIGKILL), the others go on');
    expect(conditions()).toEqual(['running', 'died']);
    await labStart({ directory: lab.directory, index: 2, wait: true, command }, recordingTerminal());
    await expect.poll(told, { timeout: 5_000 }).toContain('peer 2 was started again');
    await labKill(lab.directory, 1, recordingTerminal());
    await expect.poll(told, { timeout: 5_000 }).toContain('peer 1 is down: it was killed by `lab kill`');

    process.emit('SIGHUP', 'SIGHUP');
    expect(await ended).toBe(0);
    expect(conditions()).toEqual(['killed', 'stopped']);
    expect(state().supervisor).toBeNull();
    expect(told()).toContain('the lab is down;');
  });
});

describe('lab down', () => {
  test('a paused peer is stopped too, and one that does not react is ended by force', async () => {
    behave(1, 'stay');
    await labUp(upOptions(), recordingTerminal());
    expect((await run('lab', 'pause', '2')).code).toBe(0);
    const terminal = recordingTerminal();
    await labDown({ directory: lab.directory, purge: false, json: true }, terminal);
    expect(JSON.parse(terminal.text()).peers).toEqual([
      { index: 1, outcome: 'killed after 5 s' },
      { index: 2, outcome: 'stopped in order' },
    ]);
    for (const { process } of state().peers) expect(conditionOf(process)).toBe('gone');
  });

  test('with --purge nothing is left', async () => {
    await labUp(upOptions(), recordingTerminal());
    await down(true);
    expect(findLab(lab.directory)).toBeUndefined();
  });

  test('without a running lab it is no error', async () => {
    expect(await down()).toBe(0);
  });

  test('a process that has got the pid of a peer of yesterday is left alone', async () => {
    const startedAt = '2026-11-21T10:00:00.000Z';
    const foreign = { pid: process.pid, identity: 'of an earlier process', startedAt };
    await updateLab(lab.directory, (before) => ({
      ...before,
      supervisor: foreign,
      peers: before.peers.map((peer) => ({ ...peer, process: foreign })),
    }));
    expect(await down()).toBe(0);
    expect((await run('lab', 'kill', '1')).err).toContain('(lab_peer_not_running)');
  });
});

describe('commands for one peer', () => {
  test('kill and start: status tells a killed peer, and the same peer comes back', async () => {
    await labUp(upOptions(), recordingTerminal());
    const killed = state().peers[1]!.process!.pid;
    expect(await labKill(lab.directory, 2, recordingTerminal())).toBe(0);
    expect(conditions()).toEqual(['running', 'killed']);
    expect(await run('lab', 'status')).toMatchObject({ code: 1, out: expect.stringContaining('killed') });
    expect((await run('lab', 'kill', '2')).err).toContain('it was killed by `lab kill`');
    await labStart({ directory: lab.directory, index: 2, wait: true, command }, recordingTerminal());
    expect(conditions()).toEqual(['running', 'running']);
    expect(state().peers[1]!.process!.pid).not.toBe(killed);
    const again = labStart({ directory: lab.directory, index: 2, wait: true, command }, recordingTerminal());
    await expect(again).rejects.toMatchObject({ code: 'lab_peer_running' });
  });

  test('pause and resume', async () => {
    await labUp(upOptions(), recordingTerminal());
    await run('lab', 'pause', '1');
    expect(conditions()).toEqual(['paused', 'running']);
    await run('lab', 'resume', '1');
    expect(conditions()).toEqual(['running', 'running']);
  });

  test('a peer that dies by itself is told from one that was killed', async () => {
    await labUp(upOptions(), recordingTerminal());
    sendSignal(state().peers[0]!.process!, 'SIGKILL');
    await expect.poll(conditions).toEqual(['died', 'running']);
  });
});

describe('faults between peers', () => {
  const faults = async () => {
    const { out } = await run('lab', 'status', '-o', 'json');
    return JSON.parse(out).peers.map((peer: { faults: string[] }) => peer.faults);
  };

  test('a cut is set at both ends, a one-way cut at each end its half, and heal ends them', async () => {
    await labUp(upOptions(), recordingTerminal());
    expect((await run('lab', 'cut', '1', '2')).code).toBe(0);
    expect(await faults()).toEqual([['cut from peer 2'], ['cut from peer 1']]);
    expect((await run('lab', 'heal')).code).toBe(0);
    expect(await faults()).toEqual([[], []]);
    await run('lab', 'cut', '1', '2', '--one-way');
    expect(await faults()).toEqual([['unheard by peer 2'], ['deaf to peer 1']]);
    await run('lab', 'heal', '2', '1');
    expect(await faults()).toEqual([[], []]);
  });

  test('delays and clocks are accepted as people write them', async () => {
    await labUp(upOptions(), recordingTerminal());
    expect((await run('lab', 'delay', '1', '2', '80ms')).out).toContain('160 ms more for a round trip');
    expect((await run('lab', 'clock', '2', '-500ms')).out).toContain('500 ms slow');
    expect((await run('lab', 'clock', '2', '+2s')).out).toContain('2000 ms fast');
  });

  test('a fault needs two different peers that run', async () => {
    expect(await run('lab', 'cut', '1', '1')).toMatchObject({
      code: 2,
      err: expect.stringContaining('(lab_same_peer)'),
    });
    expect(await run('lab', 'heal', '1')).toMatchObject({ code: 2 });
    expect(await run('lab', 'cut', '1', '2')).toMatchObject({ code: 4, err: expect.stringContaining('does not run') });
    expect(await run('lab', 'cut', '1', '3')).toMatchObject({ code: 4, err: expect.stringContaining('has no peer 3') });
  });
});

test('what peers print is kept in a file of each', async () => {
  await labUp(upOptions(), recordingTerminal());
  expect(readFileSync(join(lab.directory, 'peer1/console.log'), 'utf8')).toBe('peer ready\n');
});
