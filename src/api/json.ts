/** Rows hold values JSON does not know: bigints are written as `{"$bigint": "…"}`, octets as `{"$octets": "<hex>"}`. */

function replace(this: Record<string, unknown>, name: string, shown: unknown): unknown {
  // A Buffer turned itself into an object before it came here; its holder still has it.
  const held = this[name];
  if (typeof held === 'bigint') return { $bigint: String(held) };
  if (held instanceof Uint8Array) return { $octets: Buffer.from(held).toString('hex') };
  return shown;
}

export function jsonText(value: unknown): string {
  return JSON.stringify(value, replace);
}
