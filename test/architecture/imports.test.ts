/** Imports only go down: src → actors → storage. A newcomer can trust a folder's name. */
import { describe, expect, it } from 'vitest';
import { type Import, importsOf, type SourceFile, sourceFiles } from './sources.ts';

const files = sourceFiles(/^(src|actors|storage)\/.*\.tsx?$/);
const imports = files.flatMap(importsOf);

function of(folder: string): Import[] {
  return imports.filter(({ from }) => from.startsWith(`${folder}/`));
}

const shown = ({ from, name }: Import) => `${from} imports ${name}`;

/** Libraries each floor may use; `node:` modules of storage are those that LevelDB's directory needs. */
const STORAGE_PACKAGES = [
  'level',
  'msgpackr',
  'msgpackr/pack',
  'node:fs',
  'node:fs/promises',
  'node:path',
  'node:zlib',
  'node:assert',
  'node:async_hooks',
];

/** Of Node.js, but neither time nor chance nor anything outside the process. */
const NOT_THE_MACHINE = ['node:assert', 'node:async_hooks'];

describe('imports', () => {
  it('finds the floors, so that the rules below hold for something', () => {
    for (const folder of ['src', 'actors', 'storage']) expect(of(folder).length, folder).toBeGreaterThan(20);
  });

  it('storage imports nothing of ours', () => {
    expect(
      of('storage')
        .filter(({ to }) => to !== undefined && !to.startsWith('storage/'))
        .map(shown),
    ).toEqual([]);
  });

  it('storage knows few libraries, and only its disc and its local environment touch the machine', () => {
    const packages = of('storage').filter(({ to }) => to === undefined);
    const known = ({ name, isType }: Import) =>
      STORAGE_PACKAGES.includes(name) || name === 'node:crypto' || (isType && name === 'classic-level');
    expect(packages.filter((one) => !known(one)).map(shown)).toEqual([]);
    const machine = packages.filter(({ name }) => name.startsWith('node:') && !NOT_THE_MACHINE.includes(name));
    expect(machine.filter(({ from }) => !mayTouchMachine(from)).map(shown)).toEqual([]);
  });

  it('actors import of storage only its door, or types of its environment', () => {
    const others = of('actors').filter(({ to }) => to !== undefined && !to.startsWith('actors/'));
    const allowed = ({ to, isType }: Import) =>
      to === 'storage/index.ts' || (to === 'storage/environment.ts' && isType);
    expect(others.filter((one) => !allowed(one)).map(shown)).toEqual([]);
  });

  it('actors know no module of Node.js but its hash functions', () => {
    expect(
      of('actors')
        .filter(({ name }) => name.startsWith('node:') && !['node:assert', 'node:crypto'].includes(name))
        .map(shown),
    ).toEqual([]);
  });

  it('only actors/otp/nact-host.ts imports nact', () => {
    const users = imports.filter(({ name }) => name === 'nact' || name.startsWith('nact/')).map(({ from }) => from);
    expect([...new Set(users)]).toEqual(['actors/otp/nact-host.ts']);
  });

  it('nobody outside tests, documents and examples is imported by the program', () => {
    const outward = imports.filter(({ to }) => to !== undefined && /^(test|docs|examples)\//.test(to));
    expect(outward.map(shown)).toEqual([]);
  });

  it('the web client stays on its side: it imports types only from the rest', () => {
    const crossing = of('src/web/client').filter(({ to }) => to !== undefined && !to.startsWith('src/web/client/'));
    expect(crossing.filter(({ isType }) => !isType).map(shown)).toEqual([]);
  });

  it('relative imports carry their ending', () => {
    const endings = /\.(ts|tsx|css|json|mjs)$/;
    expect(imports.filter(({ to }) => to !== undefined && !endings.test(to)).map(shown)).toEqual([]);
  });

  it('no module imports itself by way of others', () => {
    expect(cycles(files, imports)).toEqual([]);
  });

  it('the search for cycles finds one', () => {
    const [a, b, c] = ['a.ts', 'b.ts', 'c.ts'].map((path) => ({ path, text: '', lines: [], code: [] }));
    const edge = (from: string, to: string): Import => ({ from, to, name: to, isType: false, isDynamic: false });
    const found = cycles([a!, b!, c!], [edge('a.ts', 'b.ts'), edge('b.ts', 'c.ts'), edge('c.ts', 'b.ts')]);
    expect(found).toEqual(['b.ts → c.ts → b.ts']);
  });
});

function mayTouchMachine(from: string): boolean {
  return from.startsWith('storage/disc/') || from === 'storage/local-environment.ts';
}

/** Types vanish and dynamic imports wait: neither makes a cycle at load. */
function cycles(all: readonly SourceFile[], edges: readonly Import[]): string[] {
  const next = new Map<string, string[]>(all.map(({ path }) => [path, []]));
  for (const { from, to, isType, isDynamic } of edges) {
    if (to !== undefined && !isType && !isDynamic) next.get(from)?.push(to);
  }
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at >= 0) {
      found.push([...trail.slice(at), path].join(' → '));
      return;
    }
    if (done.has(path)) return;
    for (const other of next.get(path) ?? []) visit(other, [...trail, path]);
    done.add(path);
  };
  for (const { path } of all) visit(path, []);
  return found;
}
