import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runProgram } from '../../../src/cli/program.ts';
import { type Lab, updatePeer } from '../../../src/lab/state.ts';
import { type FakePeer, fakePeers, goodStatus, newLab, recordingTerminal, temporaryDirectory } from '../lab/support.ts';

let home: ReturnType<typeof temporaryDirectory>;
let lab: Lab;
let peers: FakePeer[] = [];
beforeEach(async () => {
  home = temporaryDirectory();
  lab = await newLab(home.path, 3);
});
afterEach(async () => {
  await Promise.all(peers.map((peer) => peer.close()));
  peers = [];
  home.remove();
});

async function status(...words: string[]) {
  const terminal = recordingTerminal();
  const code = await runProgram(['status', '-o', 'json', '--dir', lab.directory, ...words], terminal);
  return { code, report: JSON.parse(terminal.text() || 'null'), err: terminal.errors };
}

describe('peerage status', () => {
  test('a healthy cluster ends with 0', async () => {
    peers = await fakePeers(lab);
    const { code, report } = await status();
    expect(code).toBe(0);
    expect(report).toMatchObject({ health: 'healthy', problems: [] });
    expect(report.peers).toHaveLength(3);
  });

  test('an unhealthy cluster whose peers all answer ends with 1', async () => {
    peers = await fakePeers(lab, (index) => goodStatus(lab, index, { restartRequired: index === 2 }));
    const { code, report } = await status();
    expect(code).toBe(1);
    expect(report.problems).toEqual(['peer2 must be restarted for a changed configuration to take effect']);
  });

  test('a killed peer, a silent one and one whose process is gone are named with the reason, and it ends with 3', async () => {
    peers = await fakePeers(lab, (index) => (index === 2 ? 'no answer' : goodStatus(lab, index)));
    await peers[2]!.close();
    await updatePeer(lab.directory, 3, { process: null, stop: { how: 'killed', at: '2026-11-22T10:00:00.000Z' } });
    await updatePeer(lab.directory, 1, { process: null, stop: null });
    await peers[0]!.close();
    peers = [peers[1]!];
    const { code, report } = await status();
    expect(code).toBe(3);
    expect(report.peers.map((peer: { reason: string }) => peer.reason)).toEqual([
      'it was not started yet',
      `no answer within 1000 ms, although its process ${process.pid} is running`,
      'it was killed by `lab kill` at 2026-11-22T10:00:00.000Z',
    ]);
    expect(report.problems[2]).toMatch(/ – `peerage lab start 3 --dir .*` starts it$/);
  });

  test('copies that differ only while a write is on its way are looked at again', async () => {
    let asked = 0;
    peers = await fakePeers(lab, (index) => {
      asked += 1;
      const good = goodStatus(lab, index);
      const digest = asked <= 3 ? `d${index}` : 'same';
      return {
        ...good,
        database: { ...good.database, tables: good.database.tables.map((table) => ({ ...table, digest })) },
      };
    });
    expect((await status()).report.tables[0].digests).toBe('equal');
    expect(asked).toBe(6);
  });

  test('copies that stay different are reported', async () => {
    peers = await fakePeers(lab, (index) => {
      const good = goodStatus(lab, index);
      const tables = good.database.tables.map((table) => ({ ...table, digest: `d${index}` }));
      return { ...good, database: { ...good.database, tables } };
    });
    expect(await status()).toMatchObject({
      code: 1,
      report: { problems: ['the copies of table clusterConfiguration differ'] },
    });
  });

  test('a peer of the lab can be asked alone', async () => {
    peers = await fakePeers(lab);
    const { report } = await status('--peer', '2');
    expect(report.peers.map((peer: { index: number }) => peer.index)).toEqual([2]);
  });

  test('an answer that is no status is the reason why there is none', async () => {
    peers = await fakePeers(lab, () => ({}) as never);
    const { code, report } = await status();
    expect(code).toBe(3);
    expect(report.peers[0].reason).toMatch(/^the answer is not the status of a peer of this version/);
  });

  test('without a lab it says how to make one and ends with 4', async () => {
    const terminal = recordingTerminal();
    expect(await runProgram(['status', '--dir', home.path], terminal)).toBe(4);
    expect(terminal.errors).toEqual([expect.stringMatching(/There is no lab in .* – make one with `peerage lab up`/)]);
  });
});
