/**
 * The doors of the upper floors: storage's Links and the actors' RemoteTransport, over the same links. Every event
 * reaches the channels in the order it happened; events raised while somebody is inside `send` or `drop` wait for the
 * end of the turn, so that no caller is called back from its own call.
 */
import type { RemoteTransport } from '../../actors/otp/types.ts';
import type { LinkDownReason, LinkHandlers, LinkInfo, Links, NodeId } from '../../storage/environment.ts';
import { CHANNELS, type ChannelName } from './frame-codec.ts';

export interface ChannelBackend {
  send(channel: ChannelName, node: NodeId, message: unknown): void;
  isUp(node: NodeId): boolean;
  backlogBytes(node: NodeId): number;
  drop(node: NodeId, reason: string): void;
  upNodes(): readonly (readonly [node: NodeId, info: LinkInfo])[];
}

type ChannelEvent =
  | { readonly type: 'up'; readonly node: NodeId; readonly info: LinkInfo; readonly only?: ChannelName }
  | { readonly type: 'down'; readonly node: NodeId; readonly reason: LinkDownReason };

export class Channels {
  readonly #backend: ChannelBackend;
  readonly #handlers = new Map<ChannelName, LinkHandlers>();
  /** Nodes each channel was told are up: nothing is delivered to a channel that has not heard of the node. */
  readonly #told = new Map<ChannelName, Set<NodeId>>();
  #deferred: ChannelEvent[] = [];
  #isScheduled = false;

  constructor(backend: ChannelBackend) {
    this.#backend = backend;
  }

  links(channel: ChannelName): Links {
    const backend = this.#backend;
    return {
      send: (node, message) => backend.send(channel, node, message),
      isUp: (node) => backend.isUp(node),
      backlogBytes: (node) => backend.backlogBytes(node),
      drop: (node, reason) => backend.drop(node, reason),
      setHandlers: (handlers) => this.#setHandlers(channel, handlers),
    };
  }

  emit(event: ChannelEvent): void {
    this.#flush();
    this.#tell(event);
  }

  defer(event: ChannelEvent): void {
    this.#deferred.push(event);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  message(channel: ChannelName, node: NodeId, message: unknown): void {
    if (this.#deferred.length > 0) this.#flush();
    if (this.#told.get(channel)?.has(node) === true) this.#handlers.get(channel)?.message(node, message);
  }

  /** Nobody is told anything any more. */
  close(): void {
    this.#deferred = [];
    this.#handlers.clear();
    this.#told.clear();
  }

  /** Who comes late hears of the links that are up already. */
  #setHandlers(channel: ChannelName, handlers: LinkHandlers): void {
    this.#handlers.set(channel, handlers);
    this.#told.set(channel, new Set());
    for (const [node, info] of this.#backend.upNodes()) this.defer({ type: 'up', node, info, only: channel });
  }

  #flush(): void {
    while (this.#deferred.length > 0) {
      const event = this.#deferred.shift();
      if (event !== undefined) this.#tell(event);
    }
  }

  #tell(event: ChannelEvent): void {
    for (const channel of CHANNELS) {
      const handlers = this.#handlers.get(channel);
      const told = this.#told.get(channel);
      if (handlers === undefined || told === undefined) continue;
      if (event.type === 'down') {
        if (told.delete(event.node)) handlers.down(event.node, event.reason);
      } else if ((event.only ?? channel) === channel && !told.has(event.node) && this.#backend.isUp(event.node)) {
        told.add(event.node);
        handlers.up(event.node, event.info);
      }
    }
  }
}

/** The actors speak to nodes by name. Names belong to links: whoever is up under a name answers to it. */
export function remoteTransport(links: Links): RemoteTransport {
  const idOf = new Map<string, NodeId>();
  const nameOf = new Map<NodeId, string>();
  return {
    isUp: (name) => {
      const node = idOf.get(name);
      return node !== undefined && links.isUp(node);
    },
    send: (name, message) => {
      const node = idOf.get(name);
      if (node !== undefined) links.send(node, message);
    },
    setHandlers: (handlers) =>
      links.setHandlers({
        up: (node, info) => {
          idOf.set(info.name, node);
          nameOf.set(node, info.name);
          handlers.up(info.name);
        },
        down: (node) => {
          const name = nameOf.get(node);
          nameOf.delete(node);
          if (name === undefined) return;
          if (idOf.get(name) === node) idOf.delete(name);
          handlers.down(name);
        },
        message: (node, message) => {
          const name = nameOf.get(node);
          if (name !== undefined) handlers.message(name, message);
        },
      }),
  };
}
