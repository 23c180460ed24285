/** What a node puts on its disc, in words, for the readable trace. */
import {
  parseChangedKey,
  parseDownKey,
  parseMetaKey,
  parseRowKey,
  parseSchemaKey,
  SECTION_CHANGED,
  SECTION_DOWN,
  SECTION_META,
  SECTION_ROWS,
  SECTION_SCHEMA,
} from '../../storage/disc/key-space.ts';
import type { Disc, DiscFailure, DiscOperation } from '../../storage/environment.ts';
import { decodeKey } from '../../storage/term.ts';
import { fullText, shorten, type Trace } from './trace.ts';

const OPERATIONS_TEXT_MAX = 600;

type Heard = (operations: readonly DiscOperation[], sync: boolean, failure: DiscFailure | undefined) => void;

/** The same disc; `heard` is told what became of each batch just before the node is. */
export function overheardDisc(disc: Disc, heard: Heard): Disc {
  return {
    get: (key) => disc.get(key),
    scan: (from, to, chunk) => disc.scan(from, to, chunk),
    close: () => disc.close(),
    // Known only once something has been read.
    get loss() {
      return disc.loss;
    },
    write: (operations, sync, done) =>
      disc.write(operations, sync, (failure) => {
        heard(operations, sync, failure);
        done(failure);
      }),
  };
}

/** The same disc, whose batches are written down when the node hears what became of them. */
export function tracedDisc(disc: Disc, trace: Trace, label: string): Disc {
  return overheardDisc(disc, (operations, sync, failure) => {
    const how = failure?.code ?? (sync ? 'synced' : 'written');
    trace.record('disc', label, `${how} ${operations.length}`, () => operationsText(operations));
  });
}

export function operationsText(operations: readonly DiscOperation[]): string {
  const texts = operations.map(({ type, key }) => `${type === 'del' ? '-' : ''}${keyText(key)}`);
  return shorten(texts.join(', '), OPERATIONS_TEXT_MAX);
}

function keyText(key: Uint8Array): string {
  switch (key[0]) {
    case SECTION_META:
      return `meta ${parseMetaKey(key)}`;
    case SECTION_SCHEMA:
      return `schema ${parseSchemaKey(key)}`;
    case SECTION_ROWS: {
      const { table, encodedKey } = parseRowKey(key);
      return `row ${table}/${fullText(decodeKey(encodedKey))}`;
    }
    case SECTION_DOWN:
      return `down ${parseDownKey(key)}`;
    case SECTION_CHANGED: {
      const { node, table, encodedKey } = parseChangedKey(key);
      return `owed to ${node} ${table}/${fullText(decodeKey(encodedKey))}`;
    }
    default:
      return Buffer.from(key).toString('hex');
  }
}
