/** Every example ends by itself with code 0 and shows what it says it shows. Real processes, sockets and discs. */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { runExample } from './run-example.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const LIMIT_MS = 90_000;

/** The example must have ended well; its output is shown when it has not. */
async function linesOf(name: string, ...words: readonly string[]): Promise<readonly string[]> {
  const { code, lines, errors } = await runExample(name, ...words);
  expect({ code, errors }, [...lines, errors].join('\n')).toEqual({ code: 0, errors: '' });
  return lines;
}

describe('examples', () => {
  // The peers of the examples run the built program, as a reader's do.
  beforeAll(() => void execFileSync(process.execPath, ['bin/setup.mjs', '--build'], { cwd: ROOT }), LIMIT_MS);

  it('every example is known here: the others are run by the tests of docs and README', () => {
    expect(readdirSync(`${ROOT}/examples`).sort()).toEqual(
      [
        'bank',
        'bank.ts',
        'counter.ts',
        'lab-ledger.ts',
        'lab-load.ts',
        'partition.ts',
        'peers',
        'storage.ts',
        'support',
      ].sort(),
    );
    expect(readdirSync(`${ROOT}/examples/peers`).sort()).toEqual(
      ['make-files.ts', 'run.ts', 'six.ts', 'three.ts', 'two.ts'].sort(),
    );
  });

  it(
    'storage.ts: a database alone in a directory keeps what was committed and refuses the rest',
    async () => {
      const lines = await linesOf('storage.ts');
      expect(lines).toContain('two taken: 1 left');
      expect(lines).toContain('two more: aborted (only 1 apples left)');
      expect(lines).toContain('a hundred at once, one more each: {"count":101}');
      expect(lines).toContain('a key without an order: bad_key');
      expect(lines.slice(-3)).toEqual([
        'opened again, start 2:',
        '  "apples" = {"count":101}',
        '  ["pears",2026] = {"count":5}',
      ]);
    },
    LIMIT_MS,
  );

  it(
    'counter.ts: a crash costs the state and not the name, and the third within the period ends the tree',
    async () => {
      const lines = await linesOf('counter.ts');
      expect(lines).toContain('add: 13');
      expect(lines.filter((line) => /^crash [12]: restarted as <0\.\d+\.0>, .*: 10$/.test(line))).toHaveLength(2);
      expect(lines.find((line) => line.startsWith('crash 3'))).toContain('the supervisor gives up');
      expect(lines.find((line) => line.startsWith('a call now'))).toContain('noproc');
      expect(lines.at(-1)).toBe('stopped');
    },
    LIMIT_MS,
  );

  it(
    'bank.ts: with a process killed in the middle the sum stays and nothing acknowledged is lost',
    async () => {
      const lines = await linesOf('bank.ts');
      const acknowledged = Number(/^(\d+) transfers were acknowledged$/m.exec(lines.join('\n'))?.[1]);
      expect(acknowledged).toBeGreaterThan(0);
      for (const teller of [1, 2, 3]) {
        expect(lines).toContain(`teller ${teller}: sum 20000 of 20000, acknowledged transfers lost: 0`);
      }
      expect(lines).toContain('teller 2 killed (SIGKILL) in the middle of its transfers');
      expect(lines.at(-1)).toBe('all replicas are equal');
    },
    LIMIT_MS,
  );

  it(
    'partition.ts: a healed cut merges without a restart, and the version that lost is put back from the ledger',
    async () => {
      const lines = await linesOf('partition.ts');
      const same = (value: string) => `peer1 ${value}, peer2 ${value}, peer3 ${value}`;
      const [green, blue] = ['{"name":"Green room","seats":8}', '{"name":"Blue room","seats":10}'];
      expect(lines).toContain(`apart: peer1 ${green}, peer2 ${green}, peer3 ${blue}`);
      expect(lines).toContain(`merged: ${same(green)}`);
      expect(lines).toContain(`what one side alone had changed: ${same('"written apart"')}`);
      expect(lines.find((line) => line.startsWith('  lost:'))).toContain(blue);
      expect(lines).toContain(`restored: ${same(blue)}`);
      expect(lines).toContain('the ledger keeps the entry, marked restored: true');
    },
    LIMIT_MS,
  );

  it('another program imports the database as peerage/storage', () => {
    const program = "import { openDatabase } from 'peerage/storage'; process.stdout.write(typeof openDatabase);";
    const words = ['--input-type=module', '--eval', program];
    expect(execFileSync(process.execPath, words, { cwd: ROOT, encoding: 'utf8' })).toBe('function');
  });

  it.each([
    ['two.ts', 2],
    ['three.ts', 3],
    ['six.ts', 6],
  ])(
    'peers/%s: peers from configuration files see each other, share a setting and stop in order',
    async (name, count) => {
      const lines = await linesOf(`peers/${name}`);
      for (let peer = 1; peer <= count; peer++) {
        expect(lines.find((line) => line.startsWith(`peer${peer}: `))).toContain(`database Active, ${count} nodes`);
        expect(lines).toContain(`peer${peer} shows:    *c xConfiguration clusterConfiguration tls_verify: "Enforcing"`);
        expect(lines).toContain(`peer${peer} stopped, exit code 0`);
      }
      expect(lines.at(-1)).toBe('nothing runs any more; the temporary directory is removed');
    },
    LIMIT_MS,
  );
});
