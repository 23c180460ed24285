import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { runLogParse } from '../../../src/cli/log-parse.ts';
import { recordingTerminal } from '../lab/support.ts';

const line =
  '2020-07-21T15:16:50.321-05:00 expc01 httpd[15060]: web: Node="a" Level="INFO" Node="b" UTCTime="2020-07-21 20:16:50"';

async function parse(text: string, json: boolean) {
  const terminal = recordingTerminal();
  const code = await runLogParse({ input: Readable.from([text]), json }, terminal);
  return { code, out: terminal.lines, err: terminal.errors };
}

test('E138 a line becomes one JSON object, its fields in order and repeated ones kept', async () => {
  const { code, out } = await parse(`${line}\n\n`, true);
  expect(code).toBe(0);
  expect(out.map((each) => JSON.parse(each))).toEqual([
    {
      time: '2020-07-21T20:16:50.321Z',
      localTime: '2020-07-21T15:16:50.321-05:00',
      host: 'expc01',
      tags: ['httpd[15060]', 'web'],
      fields: [
        ['Node', 'a'],
        ['Level', 'INFO'],
        ['Node', 'b'],
        ['UTCTime', '2020-07-21 20:16:50'],
      ],
    },
  ]);
});

test('lines that are none are told with their number, the others are still printed, and it ends with 2', async () => {
  const { code, out, err } = await parse(`not a line\n${line}\n`, true);
  expect(code).toBe(2);
  expect(out).toHaveLength(1);
  expect(err).toEqual([expect.stringMatching(/^line 1, column 1: /)]);
});

test('as text every field has a line of its own', async () => {
  const { out } = await parse(line, false);
  expect(out[0]?.split('\n').slice(0, 2)).toEqual([
    '2020-07-21T15:16:50.321-05:00  expc01  httpd[15060]  web',
    '    Node: a',
  ]);
});
