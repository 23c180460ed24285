import type { ExitReason } from './types.ts';

export interface Linked {
  readonly links: Set<Linked>;
  readonly alive: boolean;
  /** An exit signal. `from` is the linked process that died, or undefined when somebody called `exit`. */
  signal(from: Linked | undefined, reason: ExitReason): void;
}

/** Two processes of which each hears of the other's end: a supervisor and its child. */
export function link(a: Linked, b: Linked): void {
  a.links.add(b);
  b.links.add(a);
}

/** The end of `process` as an exit signal to everyone linked to it, once. In the order the links were made. */
export function breakLinks(process: Linked, reason: ExitReason): void {
  const linked = [...process.links];
  process.links.clear();
  for (const other of linked) {
    other.links.delete(process);
    if (other.alive) other.signal(process, reason);
  }
}
