/** The built page, read once at start: a request never names a file of this machine. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

export interface StaticFile {
  readonly type: string;
  readonly body: string;
}
export type StaticFiles = ReadonlyMap<string, StaticFile>;

const NAMES: Readonly<Record<string, string>> = {
  'index.html': 'text/html; charset=utf-8',
  'app.js': 'text/javascript; charset=utf-8',
  'style.css': 'text/css; charset=utf-8',
};

/** Beside the bundle; two folders up when run from the sources. */
function webFolders(): string[] {
  return ['./web/', '../../dist/web/'].map((path) => fileURLToPath(new URL(path, import.meta.url)));
}

async function readAll(folder: string): Promise<StaticFiles | undefined> {
  const files = new Map<string, StaticFile>();
  for (const [name, type] of Object.entries(NAMES)) {
    try {
      files.set(`/${name}`, { type, body: await readFile(`${folder}/${name}`, 'utf8') });
    } catch (error) {
      if ((error as { code?: unknown }).code === 'ENOENT') return undefined;
      throw error;
    }
  }
  files.set('/', files.get('/index.html')!);
  return files;
}

export async function loadStaticFiles(folder?: string): Promise<StaticFiles> {
  for (const candidate of folder === undefined ? webFolders() : [folder]) {
    const files = await readAll(candidate);
    if (files !== undefined) return files;
  }
  const body =
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>peerage</title><p>The page was not built. Run <code>npm run build</code>, then restart this peer. The API works all the same.</p></html>';
  return new Map([['/', { type: 'text/html; charset=utf-8', body }]]);
}
