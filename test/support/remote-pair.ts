import type { RemoteTransport } from '../../actors/otp/index.ts';

type Handlers = Parameters<RemoteTransport['setHandlers']>[0];

/**
 * Links between nodes of one test, FIFO, carried when the test says so. What is on its way when a link is cut is lost.
 * Messages are copied on the way, as a real link would, and what cannot be copied cannot be sent.
 */
export class RemoteMesh {
  private readonly ends = new Map<string, MeshEnd>();
  private readonly links = new Map<
    string,
    { readonly to: string; readonly message: unknown; readonly from: string }[]
  >();
  /** Everything sent, for tests that look at the wire. */
  readonly sent: { readonly from: string; readonly to: string; readonly message: unknown }[] = [];

  transport(node: string): MeshEnd {
    const end = new MeshEnd(this, node);
    this.ends.set(node, end);
    return end;
  }

  connect(a: string, b: string): void {
    this.links.set(key(a, b), []);
    this.ends.get(a)?.handlers?.up(b);
    this.ends.get(b)?.handlers?.up(a);
  }

  cut(a: string, b: string): void {
    if (!this.links.delete(key(a, b))) return;
    this.ends.get(a)?.handlers?.down(b);
    this.ends.get(b)?.handlers?.down(a);
  }

  isUp(a: string, b: string): boolean {
    return this.links.has(key(a, b));
  }

  /** Hands over everything that is on its way; true when there was something. */
  carry(): boolean {
    let carried = false;
    for (const queue of this.links.values()) {
      for (const item of queue.splice(0)) {
        carried = true;
        this.ends.get(item.to)?.handlers?.message(item.from, item.message);
      }
    }
    return carried;
  }

  /** Puts a message on the wire as if `from` had sent it. */
  inject(from: string, to: string, message: unknown): void {
    this.links.get(key(from, to))?.push({ from, to, message: structuredClone(message) });
    this.sent.push({ from, to, message });
  }
}

export class MeshEnd implements RemoteTransport {
  handlers: Handlers | undefined;
  private readonly mesh: RemoteMesh;
  private readonly node: string;

  constructor(mesh: RemoteMesh, node: string) {
    this.mesh = mesh;
    this.node = node;
  }

  isUp(node: string): boolean {
    return this.mesh.isUp(this.node, node);
  }

  send(node: string, message: unknown): void {
    this.mesh.inject(this.node, node, message);
  }

  setHandlers(handlers: Handlers): void {
    this.handlers = handlers;
  }
}

function key(a: string, b: string): string {
  return [a, b].sort().join(' ');
}
