/** What the documents say of the source agrees with the source. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { exitCodesHelp } from '../../src/cli/exit-codes.ts';
import { ALL_PROFILES } from '../../src/simulation/simulation.ts';
import { ownFiles } from '../architecture/sources.ts';
import { errorsPage, fieldsOf, page, withFields } from './pages.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const REGENERATE = 'run: npx tsx test/docs/write-pages.ts';
const documents = ownFiles().filter((path) => path.endsWith('.md'));

const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

describe('documents', () => {
  it('docs/errors.md has a paragraph for each code of the database, of the API and of the command line', () => {
    expect(page('errors.md'), REGENERATE).toBe(errorsPage());
    const codes = [...read('storage/errors.ts').matchAll(/^ {2}\| '(\w+)'/gm)].map(([, code]) => code);
    expect(codes.length).toBeGreaterThan(15);
    for (const code of codes) expect(page('errors.md')).toContain(`### ${code}\n`);
  });

  it('docs/own-peers.md lists every field of the configuration file, with what is allowed and the default', () => {
    expect(page('own-peers.md'), REGENERATE).toBe(withFields(page('own-peers.md')));
    const fields = fieldsOf();
    expect(fields.length).toBeGreaterThan(25);
    expect(fields.filter(({ allowed }) => allowed === '')).toEqual([]);
  });

  it('docs/exit-codes.md lists the codes that --help prints', () => {
    for (const line of exitCodesHelp().split('\n').slice(1)) {
      const [, code, meaning] = /^ {2}(\d+) {2}(.+)$/.exec(line) as RegExpExecArray;
      expect(page('exit-codes.md')).toContain(`| ${code} | ${meaning} |`);
    }
  });

  it('docs/simulate.md lists the profiles of faults', () => {
    const listed = [...page('simulate.md').matchAll(/^\| `([\w ]+)` \|/gm)].map(([, name]) => name);
    expect(listed.sort()).toEqual(ALL_PROFILES.map(({ name }) => name).sort());
  });

  it('docs/README.md leads to every page', () => {
    const pages = readdirSync(join(ROOT, 'docs')).filter((name) => name !== 'README.md');
    expect(pages.filter((name) => !page('README.md').includes(`(${name})`))).toEqual([]);
  });

  it('no link of a document leads nowhere', () => {
    const links = documents.flatMap((path) =>
      [...read(path).matchAll(/\]\(([^)#\s]+)(#[^)]*)?\)/g)].map(([, to]) => ({ path, to: to as string })),
    );
    expect(links.length).toBeGreaterThan(10);
    const local = links.filter(({ to }) => !/^[a-z]+:/.test(to));
    expect(local.filter(({ path, to }) => !existsSync(join(ROOT, dirname(path), to)))).toEqual([]);
  });

  it('every test that the README names as a proof exists under that name', () => {
    const proofs = [...read('README.md').matchAll(/`(test\/[\w/.-]+\.test\.tsx?)`(?: “([^”]+)”)?/g)];
    expect(proofs.length).toBeGreaterThan(5);
    for (const [, file, title] of proofs) {
      expect(existsSync(join(ROOT, file as string)), file).toBe(true);
      if (title !== undefined) expect(read(file as string), `${file}: ${title}`).toContain(title);
    }
  });
});
