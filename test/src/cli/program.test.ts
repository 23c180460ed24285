import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { alarmCatalogue } from '../../../actors/diagnostics/alarm-catalogue.ts';
import { completionNodes, completionScript } from '../../../src/cli/completion.ts';
import { cliErrors } from '../../../src/cli/errors.ts';
import { allExplanations } from '../../../src/cli/explain.ts';
import { databaseErrors } from '../../../src/cli/explain-database.ts';
import { createProgram, normaliseVerb, runProgram } from '../../../src/cli/program.ts';
import { recordingTerminal } from '../lab/support.ts';

async function run(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const terminal = recordingTerminal();
  const code = await runProgram(words, terminal);
  return { code, out: terminal.text(), err: terminal.errors.join('\n') };
}

describe('a command line that cannot be understood', () => {
  test.each([
    [['frobnicate'], /unknown command 'frobnicate'/],
    [['statsu'], /did you mean status\?/],
    [['status', '--nope'], /unknown option '--nope'/],
    [['status', '-o', 'xml'], /Allowed choices are table, json/],
    [['lab', 'kill'], /missing required argument 'peer'/],
    [['lab', 'kill', '7'], /whole number from 1 to 6/],
    [['lab', 'kill', '2x'], /whole number from 1 to 6/],
    [['lab', 'up', '--peers', '0'], /whole number from 1 to 6/],
    [['lab', 'up', '--first-address', '10.0.0.1'], /loopback IPv4 address/],
    [['lab', 'up', '--first-address', '127.0.0.250'], /loopback IPv4 address/],
    [['lab', 'delay', '1', '2', '80'], /such as 80ms/],
    [['lab', 'delay', '1', '2', '61s'], /from 0ms to 60s/],
    [['lab', 'clock', '1', 'soon'], /a time with a sign/],
    [['peer'], /required option '-c, --config <file>'/],
    [['simulate', '--seeds', '-1'], /whole number/],
    [['completion', 'tcsh'], /Allowed choices are bash, zsh, fish/],
  ])('%j ends with 2 and one line that says what, why and what to do', async (words, reason) => {
    const { code, out, err } = await run(...words);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err).toMatch(reason);
    expect(err).toMatch(/^peerage: .+ – .+ – .+ \(usage\)$/s);
  });

  test('no command at all shows the help and ends with 2', async () => {
    const { code, err } = await run();
    expect(code).toBe(2);
    expect(err).toContain('Usage: peerage');
  });
});

describe('help', () => {
  test('it lists every command and the exit codes, and ends with 0', async () => {
    const { code, out } = await run('--help');
    expect(code).toBe(0);
    const verbs = [
      'lab',
      'status',
      'xconfiguration',
      'xstatus',
      'xcommand',
      'peer',
      'simulate',
      'explain',
      'completion',
      'log',
    ];
    for (const verb of verbs) expect(out).toMatch(new RegExp(`^ {2}${verb}\\b`, 'm'));
    expect(out).toMatch(/Exit codes:\n {2}0 .*\n {2}1 .*\n {2}2 .*\n {2}3 .*\n {2}4 .*\n {2}5 /);
  });

  test('the version is that of the package', async () => {
    expect(await run('--version')).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
  });

  test('every command and option says what it is for', () => {
    const nodes = completionNodes(createProgram(recordingTerminal(), { exitCode: 0 }));
    const texts = nodes.flatMap((node) => [...node.commands, ...node.options].map((each) => each.description));
    expect(texts.filter((text) => text.trim() === '')).toEqual([]);
  });
});

describe('explain', () => {
  test('E122 a code is found whatever its letter case, and says what, why and what to do', async () => {
    const { code, out } = await run('explain', 'LAB-port-TAKEN');
    expect(code).toBe(0);
    expect(out).toMatch(/^lab_port_taken \(command line\)\n {2}what .+\n {2}why .+\n {2}what to do .+$/);
  });

  test('every alarm is explained by id and by uuid', async () => {
    for (const alarm of alarmCatalogue) {
      expect((await run('explain', String(alarm.id))).out).toContain(alarm.remedy);
      expect((await run('explain', alarm.uuid)).out).toContain(alarm.remedy);
    }
  });

  test('every code has all three parts, as sentences', () => {
    const all = allExplanations();
    expect(all.map((each) => each.code)).toEqual(
      expect.arrayContaining([...Object.keys(cliErrors), ...Object.keys(databaseErrors)]),
    );
    for (const { code, kind, what, why, remedy } of all) {
      for (const text of [what, why, remedy]) expect(text.trim().length, code).toBeGreaterThan(0);
      if (kind !== 'alarm') for (const text of [what, why, remedy]) expect(text, code).toMatch(/[.!]$/);
    }
  });

  test('every refusal that the API of a peer can give is explained', () => {
    const folder = new URL('../../../src/api/', import.meta.url);
    const sources = readdirSync(folder).map((name) => readFileSync(new URL(name, folder), 'utf8'));
    const codes = sources.flatMap((text) =>
      [...text.matchAll(/new ApiError\(\s*\d+,\s*'(\w+)'/g)].map((match) => match[1]!),
    );
    expect(codes.length).toBeGreaterThan(5);
    const known = allExplanations().map((each) => each.code);
    expect(codes.filter((code) => !known.includes(code))).toEqual([]);
  });

  test('without a code it lists them all, as JSON too', async () => {
    const { out } = await run('explain', '-o', 'json');
    expect(JSON.parse(out)).toHaveLength(allExplanations().length);
    expect((await run('explain')).out).toContain('no_majority');
  });

  test('an unknown code is refused', async () => {
    expect(await run('explain', 'nope')).toMatchObject({ code: 2, err: expect.stringContaining('(unknown_code)') });
  });
});

describe('x-commands as words of the command line', () => {
  test('E122 the verb is taken whatever its letter case, the rest is left as it is', () => {
    expect(normaliseVerb(['xConfiguration', 'ClusterName:', 'A'])).toEqual(['xconfiguration', 'ClusterName:', 'A']);
    expect(normaliseVerb(['XCOMMAND', 'ForceConfigUpdate'])).toEqual(['xcommand', 'ForceConfigUpdate']);
    expect(normaliseVerb(['Status'])).toEqual(['Status']);
    expect(normaliseVerb([])).toEqual([]);
  });
});

describe('completion scripts', () => {
  const program = createProgram(recordingTerminal(), { exitCode: 0 });

  /** What bash offers after `words`, the last of which is being typed. */
  function offered(...words: string[]): string[] {
    const quoted = words.map((word) => `'${word}'`).join(' ');
    const script = `${completionScript(program, 'bash')}\nCOMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _peerage; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const result = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
    expect(result.stderr).toBe('');
    return result.stdout.trim().split('\n');
  }

  test('bash offers the commands that fit what is typed', () => {
    expect(offered('peerage', 'st')).toEqual(['status']);
    expect(offered('peerage', 'lab', 'k')).toEqual(['kill']);
    expect(offered('peerage', 'lab', 'cut', '1', '2', '--o')).toEqual(['--one-way']);
    expect(offered('peerage', 'completion', '')).toEqual(expect.arrayContaining(['bash', 'zsh', 'fish']));
    expect(offered('peerage', 'status', '--dir', 'x', '--out')).toEqual(['--output']);
  });

  test.each(['bash', 'zsh', 'fish'] as const)('the one for %s holds every command', async (shell) => {
    const { code, out } = await run('completion', shell);
    expect(code).toBe(0);
    for (const word of ['status', 'xconfiguration', 'resume', 'delay', 'parse', '--first-address'.slice(2)]) {
      expect(out).toContain(word);
    }
  });
});
