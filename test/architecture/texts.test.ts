/** What no tracked file may say: leftovers, other people's names, places of one machine. */
import { describe, expect, it } from 'vitest';
import { ROOT, sourceFiles } from './sources.ts';

const files = sourceFiles(/^(?!.*\.(png|jpg|ico|jsonl)$).*/);
/** Written by npm: every dependency's address stands there. */
const LOCK = /^(package-lock\.json|\.npmrc)$/;
/** These name what they look for. */
const SEEKERS = [/^test\/architecture\/texts\.test\.ts$/, /^test\/actors\/diagnostics\/alarm-catalogue\.test\.ts$/];
/** Lines recorded elsewhere, kept as they were. */
const RECORDED = /^test\/fixtures\//;

function saying(pattern: RegExp, excepted: readonly RegExp[] = []): string[] {
  const all = [...SEEKERS, ...excepted];
  return files
    .filter(({ path }) => !all.some((exception) => exception.test(path)))
    .flatMap(({ path, lines }) =>
      lines.flatMap((line, at) => (pattern.test(line) ? [`${path}:${at + 1} ${line.trim().slice(0, 160)}`] : [])),
    );
}

describe('texts', () => {
  it('finds the tracked files', () => {
    expect(files.length).toBeGreaterThan(200);
  });

  it('nothing is left for later: no TODO, FIXME, XXX or HACK', () => {
    expect(saying(/\b(TODO|FIXME|XXX|HACK)\b/, [LOCK])).toEqual([]);
  });

  it('no test is left out or alone', () => {
    expect(saying(/\b(it|test|describe)(\.\w+)*\.(skip|only|todo|fails)\b\s*\(/)).toEqual([]);
  });

  it('no word of another maker', () => {
    expect(saying(/\b(cisco|expressway|tandberg|polycom|webex)\b|\bVCS\b/i, [LOCK, RECORDED])).toEqual([]);
  });

  it('no address of a package registry or of a code host', () => {
    expect(saying(/registry\.npmjs|npmjs\.com|yarnpkg|artifactory|\bnexus\b.*repository|jfrog/i, [LOCK])).toEqual([]);
  });

  it('no absolute path of a machine', () => {
    const own = ROOT.replace(/\/$/, '').replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
    const pattern = new RegExp(`${own}(?![\\w-])|/(home|Users|root)/[\\w.-]+|[A-Z]:\\\\Users\\\\`);
    expect(saying(pattern, [LOCK])).toEqual([]);
  });

  it('no type that says nothing: no any in types', () => {
    const source = files.filter(({ path }) => /^(src|actors|storage)\/.*\.tsx?$/.test(path));
    const found = source.flatMap(({ path, code }) =>
      code.flatMap((line, at) => (/(:|<|\bas)\s*any\b/.test(line) ? [`${path}:${at + 1} ${line.trim()}`] : [])),
    );
    expect(found).toEqual([]);
  });
});
