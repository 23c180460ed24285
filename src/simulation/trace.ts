/**
 * What happened, in order: a running hash of everything (one seed = one hash), and, when asked for, a readable line for
 * each thing: when, who, what.
 */
import { hashText } from './seeded-random.ts';
import type { VirtualTime } from './virtual-time.ts';

export type TraceKind =
  | 'send'
  | 'receive'
  | 'link'
  | 'fault'
  | 'node'
  | 'event'
  | 'row'
  | 'invoke'
  | 'complete'
  | 'probe'
  | 'disc';

const VALUE_TEXT_MAX = 160;
const NODE_ID = /\b[0-9a-f]{16}\b/g;

export class Trace {
  readonly readable: boolean;
  private readonly time: VirtualTime;
  private readonly write: ((line: string) => void) | undefined;
  /** Node ids are for machines; a reader gets labels. */
  private readonly labels = new Map<string, string>();
  private readonly words = new Map<string, number>();
  private low = 0x811c9dc5 | 0;
  private high = 0x243f6a88 | 0;

  constructor(time: VirtualTime, write?: (line: string) => void) {
    this.time = time;
    this.write = write;
    this.readable = write !== undefined;
  }

  /** `what` goes into the hash; `detail` is only made when somebody reads the trace. */
  record(kind: TraceKind, who: string, what: string, detail?: () => string): void {
    this.begin(kind, who);
    this.mixText(what);
    if (this.write) this.tell(kind, who, detail ? `${what} ${detail()}` : what);
  }

  /** Most of what happens: no text is made of it for the hash. */
  message(kind: 'send' | 'receive', who: string, other: string, bytes: number, detail: () => string): void {
    this.begin(kind, who);
    this.mix(this.wordOf(other));
    this.mix(bytes);
    if (this.write) this.tell(kind, who, `${kind === 'send' ? 'to' : 'from'} ${other} ${bytes} ${detail()}`);
  }

  nameNode(id: string, label: string): void {
    this.labels.set(id, label);
  }

  get hash(): string {
    return (this.high >>> 0).toString(16).padStart(8, '0') + (this.low >>> 0).toString(16).padStart(8, '0');
  }

  private begin(kind: TraceKind, who: string): void {
    this.mix(this.time.nowUs | 0);
    this.mix(this.wordOf(kind));
    this.mix(this.wordOf(who));
  }

  private tell(kind: TraceKind, who: string, what: string): void {
    const seconds = (this.time.nowUs / 1_000_000).toFixed(6).padStart(11);
    const line = `${seconds}  ${kind.padEnd(8)} ${who.padEnd(16)} ${what}`;
    this.write?.(line.replace(NODE_ID, (id) => this.labels.get(id) ?? id));
  }

  /** Kinds, nodes and clients are few and named again and again. */
  private wordOf(name: string): number {
    let word = this.words.get(name);
    if (word === undefined) {
      word = hashText(name, 0);
      this.words.set(name, word);
    }
    return word;
  }

  private mix(word: number): void {
    this.low = Math.imul(this.low ^ word, 0x01000193);
    this.high = (Math.imul(this.high ^ (this.low >>> 15), 0x85ebca6b) + word) | 0;
  }

  private mixText(text: string): void {
    for (let index = 0; index < text.length; index++) this.mix(text.charCodeAt(index));
  }
}

export function valueText(value: unknown): string {
  return shorten(fullText(value), VALUE_TEXT_MAX);
}

export function fullText(value: unknown): string {
  if (value === undefined) return '-';
  if (typeof value === 'bigint') return `${value}n`;
  if (value instanceof Uint8Array)
    return `<${value.length} octets ${Buffer.from(value.subarray(0, 12)).toString('hex')}>`;
  if (Array.isArray(value)) return `[${value.map(fullText).join(', ')}]`;
  if (value instanceof Map)
    return `{${[...value].map(([key, held]) => `${fullText(key)}: ${fullText(held)}`).join(', ')}}`;
  if (typeof value === 'object' && value !== null) {
    return `{${Object.entries(value)
      .map(([key, held]) => `${key}: ${fullText(held)}`)
      .join(', ')}}`;
  }
  return String(value);
}

export function shorten(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most)}… (${text.length} characters)`;
}
