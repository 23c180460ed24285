/**
 * A process that writes to a level store until it is killed or its disc is full: 64 writers, each writing its next number
 * once the last is done. It prints every number whose write was reported finished.
 *
 * Arguments: directory, and `log` for a log before the store. Lines: `done <writer> <number>`, `failed <code>`, `later <code>`.
 */
import { openLevelStore } from '../../../storage/disc/level-store.ts';
import { openLogged } from './open-logged.ts';

const WRITERS = 64;
const [directory, kind] = process.argv.slice(2) as [string, string?];
const disc = kind === 'log' ? await openLogged(directory, 512 << 10) : await openLevelStore(directory);
let hasFailed = false;

const print = (line: string): void => {
  // To a pipe this is synchronous: a line printed is with the reader, whatever happens to this process next.
  process.stdout.write(`${line}\n`);
};

function writeNext(writer: number, number: number): void {
  const key = new TextEncoder().encode(`${writer}/${number}`);
  const operations = [
    { type: 'put', key, value: new Uint8Array(200).fill(number) },
    { type: 'put', key: new TextEncoder().encode(`last/${writer}`), value: new TextEncoder().encode(String(number)) },
  ] as const;
  disc.write(operations, false, (failure) => {
    if (failure !== undefined) {
      if (!hasFailed) print(`failed ${failure.code}`);
      if (!hasFailed) disc.write(operations, true, (later) => print(`later ${later?.code}`));
      hasFailed = true;
      return;
    }
    print(`done ${writer} ${number}`);
    writeNext(writer, number + 1);
  });
}

for (let writer = 0; writer < WRITERS; writer++) writeNext(writer, 0);
