import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseLine } from '../../../src/api/x-command-line.ts';
import { runProgram } from '../../../src/cli/program.ts';
import { joinLine } from '../../../src/cli/x-verbs.ts';
import { type Lab, labFiles } from '../../../src/lab/state.ts';
import {
  type FakeAnswer,
  type FakePeer,
  type FakeRequest,
  fakePeer,
  newLab,
  recordingTerminal,
  temporaryDirectory,
} from '../lab/support.ts';

describe('the line that is sent to a peer', () => {
  test.each([
    [['clusterConfiguration', 'tls_verify:', 'Enforcing'], 'xconfiguration clusterConfiguration tls_verify: Enforcing'],
    [['Name:', 'two words'], 'xconfiguration Name: "two words"'],
    [['Name:two words'], 'xconfiguration Name:two words'],
    [['A', 'Name:two words'], 'xconfiguration A Name: "two words"'],
    [['Name:', ''], 'xconfiguration Name: ""'],
    [['Name:', 'say "hi" \\ there'], 'xconfiguration Name: "say \\"hi\\" \\\\ there"'],
    [['Name:', '"two words"'], 'xconfiguration Name: "two words"'],
    [['Alternates Peer 1 Address: ?'], 'xconfiguration Alternates Peer 1 Address: ?'],
    [[], 'xconfiguration'],
  ])('%j becomes %s', (words, line) => {
    expect(joinLine('xconfiguration', words)).toBe(line);
  });

  test('a value with quotes, backslashes and blanks arrives at the peer as it was typed', () => {
    const value = 'a "b"\\ c  d';
    const parsed = parseLine(joinLine('xconfiguration', ['Name:', value]));
    expect('tokens' in parsed && parsed.tokens.at(-1)?.text).toBe(value);
  });
});

describe('executing a line at a peer of a lab', () => {
  const home = temporaryDirectory();
  let lab: Lab;
  let peers: FakePeer[];
  let answer: (request: FakeRequest) => FakeAnswer;

  beforeAll(async () => {
    lab = await newLab(home.path, 2);
    peers = await Promise.all(lab.state.peers.map((peer) => fakePeer(lab, peer, (request) => answer(request))));
  });
  afterAll(async () => {
    await Promise.all(peers.map((peer) => peer.close()));
    home.remove();
  });

  async function run(...words: string[]) {
    const terminal = recordingTerminal({ PEERAGE_PASSWORD: 'secret' });
    const code = await runProgram([...words, '--dir', lab.directory], terminal);
    return { code, out: terminal.lines, err: terminal.errors };
  }

  test('it goes to the peer that was named, and its lines are printed', async () => {
    answer = () => ({ body: { lines: ['*c xStatus Cluster', 'OK'], code: 0 } });
    expect(await run('xStatus', 'cluster', '--peer', '2')).toEqual({
      code: 0,
      out: ['*c xStatus Cluster', 'OK'],
      err: [],
    });
    expect(peers[1]?.requests.at(-1)).toEqual({
      method: 'POST',
      path: '/api/v1/xcommand',
      body: { line: 'xstatus cluster' },
    });
  });

  test('a refused line ends with 1, one that the peer did not understand with 2, both on stderr', async () => {
    answer = () => ({ body: { lines: ['ERROR: not the primary'], code: 1 } });
    expect(await run('xcommand', 'ForceConfigUpdate')).toEqual({ code: 1, out: [], err: ['ERROR: not the primary'] });
    answer = () => ({ body: { lines: ['ERROR: no such item'], code: 2 } });
    expect((await run('xconfiguration', 'nope')).code).toBe(2);
  });

  test('as JSON it names the peer, the line and the code', async () => {
    answer = () => ({ body: { lines: ['OK'], code: 0 } });
    const { out } = await run('xcommand', 'x', '-o', 'json');
    expect(JSON.parse(out.join('\n'))).toEqual({ peer: 1, line: 'xcommand x', lines: ['OK'], code: 0 });
  });

  test('a refusal of the API ends with 1 and keeps what the peer says to do', async () => {
    answer = () => ({
      status: 409,
      body: {
        error: {
          code: 'change_refused',
          what: 'The change was refused',
          why: 'a gap in the list',
          do: 'close the gap',
        },
      },
    });
    const { code, err } = await run('xconfiguration', 'a: b');
    expect(code).toBe(1);
    expect(err).toEqual([
      'peerage: peer 1 refused – The change was refused: a gap in the list [change_refused] – close the gap (request_refused)',
    ]);
  });

  test('an answer that is none of a peer is told as such', async () => {
    answer = () => ({ body: { hello: 'world' } });
    expect(await run('xstatus')).toMatchObject({ code: 3, err: [expect.stringContaining('(bad_answer)')] });
  });

  test('a peer by URL is asked with the password, and its certificate must be trusted', async () => {
    answer = () => ({ body: { lines: ['OK'], code: 0 } });
    const { url } = lab.state.peers[0]!;
    const ca = join(lab.directory, labFiles.authority);
    expect((await run('xstatus', '--peer', url, '--ca', ca)).code).toBe(0);
    const untrusted = await run('xstatus', '--peer', url);
    expect(untrusted).toMatchObject({ code: 3, err: [expect.stringContaining('(certificate_not_trusted)')] });
  });

  test('a wrong password and a missing one are told apart', async () => {
    const { url } = lab.state.peers[0]!;
    const words = ['xstatus', '--peer', url, '--ca', join(lab.directory, labFiles.authority)];
    const wrong = recordingTerminal({ PEERAGE_PASSWORD: 'wrong' });
    expect(await runProgram(words, wrong)).toBe(1);
    expect(wrong.errors).toEqual([expect.stringContaining('wrong password – try again (not_authorised)')]);
    const missing = recordingTerminal();
    expect(await runProgram(words, missing)).toBe(2);
    expect(missing.errors).toEqual([expect.stringContaining('(no_password)')]);
  });

  test('peers that are none are refused before anybody is asked', async () => {
    expect(await run('xstatus', '--peer', '3')).toMatchObject({ code: 4 });
    expect(await run('xstatus', '--peer', 'peer2')).toMatchObject({ code: 2 });
    expect(await run('xstatus', '--peer', 'http://127.0.0.1:1')).toMatchObject({ code: 2 });
    expect(await run('xstatus', '--peer', 'https://127.0.0.1:1', '--ca', '/none')).toMatchObject({ code: 2 });
  });

  test('a token of another lab is refused', async () => {
    const path = join(lab.directory, labFiles.token);
    writeFileSync(path, 'another');
    expect(await run('xstatus')).toMatchObject({ code: 1, err: [expect.stringContaining('(not_authorised)')] });
  });
});
