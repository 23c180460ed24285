/** A client of etcd: a few of its calls over one connection of HTTP/2, with as little work of its own as possible. */
import { type ClientHttp2Session, connect } from 'node:http2';
import { decodeMessage, encodeMessage, type Field } from './protobuf.ts';

const FRAME_HEAD_OCTETS = 5;
/** enum CompareTarget and CompareResult of etcd. */
const MOD_REVISION = 2;
const EQUAL = 0;

export interface EtcdValue {
  readonly value: string;
  readonly modRevision: number;
}

export interface EtcdStatus {
  readonly memberId: number;
  /** 0 while there is none. */
  readonly leaderId: number;
}

export class EtcdClient {
  readonly #port: number;
  #session: ClientHttp2Session | undefined;

  constructor(port: number) {
    this.#port = port;
  }

  async status(): Promise<EtcdStatus> {
    const answer = await this.#call('etcdserverpb.Maintenance/Status', []);
    const header = decodeMessage(answer.get(1) as Uint8Array);
    return { memberId: (header.get(2) as number) ?? 0, leaderId: (answer.get(4) as number) ?? 0 };
  }

  async put(key: string, value: string): Promise<void> {
    await this.#call('etcdserverpb.KV/Put', [
      [1, key],
      [2, value],
    ]);
  }

  /** Linearizable, as it is unless one asks for less. */
  async get(key: string): Promise<EtcdValue | undefined> {
    const answer = await this.#call('etcdserverpb.KV/Range', [[1, key]]);
    const found = answer.get(2) as Uint8Array | undefined;
    if (found === undefined) return undefined;
    const fields = decodeMessage(found);
    const octets = (fields.get(5) as Uint8Array | undefined) ?? new Uint8Array();
    return { value: Buffer.from(octets).toString(), modRevision: fields.get(3) as number };
  }

  /** Writes if nobody wrote since `modRevision`; whether it did. */
  async putIfUnchanged(key: string, modRevision: number, value: string): Promise<boolean> {
    const compare = encodeMessage([
      [1, EQUAL],
      [2, MOD_REVISION],
      [3, key],
      [6, modRevision],
    ]);
    const put = encodeMessage([
      [1, key],
      [2, value],
    ]);
    const success = encodeMessage([[2, put]]);
    const answer = await this.#call('etcdserverpb.KV/Txn', [
      [1, compare],
      [2, success],
    ]);
    return answer.get(2) === 1;
  }

  close(): void {
    this.#session?.destroy();
  }

  /** A member that has just been started does not listen yet: the next call tries again. */
  #connected(): ClientHttp2Session {
    if (this.#session === undefined || this.#session.destroyed) {
      this.#session = connect(`http://127.0.0.1:${this.#port}`);
      // Every call that is under way fails too, and says why.
      this.#session.on('error', () => undefined);
    }
    return this.#session;
  }

  #call(path: string, fields: readonly (readonly [number, Field])[]): Promise<Map<number, number | Uint8Array>> {
    return new Promise((resolve, reject) => {
      const stream = this.#connected().request({
        ':method': 'POST',
        ':path': `/${path}`,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      const parts: Buffer[] = [];
      let failure: string | undefined;
      const readStatus = (headers: Record<string, unknown>): void => {
        const status = headers['grpc-status'];
        if (status !== undefined && status !== '0') failure = `${status} ${String(headers['grpc-message'])}`;
      };
      stream.on('response', readStatus).on('trailers', readStatus);
      stream.on('data', (octets: Buffer) => parts.push(octets));
      stream.on('error', reject);
      stream.on('end', () => {
        if (failure !== undefined) reject(new Error(`etcd refused ${path}: ${failure}`));
        else resolve(decodeMessage(Buffer.concat(parts).subarray(FRAME_HEAD_OCTETS)));
      });
      stream.end(framed(encodeMessage(fields)));
    });
  }
}

/** Not compressed, its length in four octets. */
function framed(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(FRAME_HEAD_OCTETS + message.byteLength);
  frame.writeUInt32BE(message.byteLength, 1);
  frame.set(message, FRAME_HEAD_OCTETS);
  return frame;
}
