/** As much of protocol buffers as a few messages of etcd need. */

export type Field = Uint8Array | string | number;

const VARINT = 0;
const FIXED64 = 1;
const OCTETS = 2;
const FIXED32 = 5;

/** Fields by number, in order; numbers become varints, the rest octets. */
export function encodeMessage(fields: readonly (readonly [number, Field])[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [number, field] of fields) {
    if (typeof field === 'number') {
      parts.push(varint(number * 8 + VARINT), varint(field));
      continue;
    }
    const octets = typeof field === 'string' ? Buffer.from(field) : field;
    parts.push(varint(number * 8 + OCTETS), varint(octets.byteLength), octets);
  }
  return Buffer.concat(parts);
}

/** Fields by number, the last one where there are several. Numbers beyond 2^53 lose their last digits. */
export function decodeMessage(octets: Uint8Array): Map<number, number | Uint8Array> {
  const fields = new Map<number, number | Uint8Array>();
  let at = 0;
  const next = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const octet = octets[at++];
      if (octet === undefined) throw new RangeError('a message of etcd ends in the middle of a field');
      value += (octet & 0x7f) * factor;
      if (octet < 0x80) return value;
    }
  };
  while (at < octets.byteLength) {
    const tag = next();
    const [number, kind] = [Math.floor(tag / 8), tag % 8];
    if (kind === VARINT) fields.set(number, next());
    else if (kind === OCTETS) {
      const length = next();
      fields.set(number, octets.subarray(at, at + length));
      at += length;
    } else if (kind === FIXED64 || kind === FIXED32) at += kind === FIXED64 ? 8 : 4;
    else throw new RangeError(`a message of etcd has a field of the unknown kind ${kind}`);
  }
  return fields;
}

function varint(value: number): Uint8Array {
  const octets: number[] = [];
  let rest = value;
  while (rest >= 128) {
    octets.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  octets.push(rest);
  return Uint8Array.from(octets);
}
