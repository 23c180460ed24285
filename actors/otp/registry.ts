import { assertName } from './exit.ts';

/** Names of processes on this node, each held by one process at a time. */
export class Registry<P> {
  private readonly names = new Map<string, P>();

  /** Answers the holder when the name is taken. */
  register(name: string, process: P): P | undefined {
    assertName(name, 'A registered name');
    const holder = this.names.get(name);
    if (holder === undefined) this.names.set(name, process);
    return holder;
  }

  /** Only the holder can give a name up: a process that ends late must not take it from its successor. */
  unregister(name: string, process: P): void {
    if (this.names.get(name) === process) this.names.delete(name);
  }

  whereis(name: string): P | undefined {
    return this.names.get(name);
  }
}
