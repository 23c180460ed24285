/** The database's messages in words, for the readable trace. */

import type { Table } from '../../storage/tables/table.ts';
import { decodeValue } from '../../storage/term.ts';
import { Kind, type PrepareMessage } from '../../storage/transactions/messages.ts';
import { ProposalReader } from '../../storage/transactions/proposals.ts';
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

function oneText(message: unknown[]): string {
  const [kind, ...rest] = message;
  if (kind === Kind.prepare) return shorten(proposalsText(message as unknown as PrepareMessage), ONE_MESSAGE_TEXT_MAX);
  const name = KIND_NAMES.get(kind) ?? `kind ${String(kind)}`;
  return shorten(`${name}(${rest.map((part) => fullText(readable(part))).join(', ')})`, ONE_MESSAGE_TEXT_MAX);
}

function proposalsText(message: PrepareMessage): string {
  // Names are all that is asked of a table here.
  const tables = new Map(message[2].map((name) => [name, { name } as Table]));
  const texts = new ProposalReader(message, tables).all((n, version, age, sync, writes, checks) => {
    const rows = writes.map(({ table, key, bytes }) => `${table.name} ${fullText(key)} ${fullText(readable(bytes))}`);
    const seen = checks.map(({ table, key, hlc, node }) => `${table.name} ${fullText(key)} ${hlc} ${node}`);
    return `${n} @${version} age ${age}${sync ? ' sync' : ''}: ${[...rows, ...seen.map((one) => `saw ${one}`)].join(', ')}`;
  });
  return `prepare(${fullText(message[1])}, ${texts.join('; ')})`;
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
