/** The database's messages in words, for the readable trace. */

import { decodeValue } from '../../storage/term.ts';
import { Kind } from '../../storage/transactions/messages.ts';
import { byOf } from './history.ts';
import { fullText, shorten } from './trace.ts';

const KIND_NAMES = new Map<unknown, string>(Object.entries(Kind).map(([name, kind]) => [kind, name]));
const ONE_MESSAGE_TEXT_MAX = 600;

/** `[time, message, message, …]` as the database sends it; anything else as it is. */
export function batchText(batch: unknown): string {
  if (!Array.isArray(batch) || typeof batch[0] !== 'number' || !batch.slice(1).every(Array.isArray)) {
    return shorten(fullText(batch), ONE_MESSAGE_TEXT_MAX);
  }
  const [moment, ...messages] = batch as [number, ...unknown[][]];
  return `${messages.map(oneText).join('; ')} @${moment}`;
}

function oneText([kind, ...rest]: unknown[]): string {
  const name = KIND_NAMES.get(kind) ?? `kind ${String(kind)}`;
  return shorten(`${name}(${rest.map((part) => fullText(readable(part))).join(', ')})`, ONE_MESSAGE_TEXT_MAX);
}

/** Octets of a row of the workload become the name of its writer. */
function readable(part: unknown): unknown {
  if (part instanceof Uint8Array) return rowText(part);
  if (Array.isArray(part)) return part.map(readable);
  return part;
}

function rowText(octets: Uint8Array): unknown {
  try {
    const by = byOf(decodeValue(octets));
    return by === undefined ? octets : `row by ${by}`;
  } catch {
    // Not a row but something else in octets: shown as such.
    return octets;
  }
}
