/** What the two sides of a handshake say, and the checks on it. Bodies are msgpack arrays of fixed length. */
import { Packr, Unpackr } from 'msgpackr';
import { isCleanText } from './addresses.ts';
import { FRAME_TYPES, PROTOCOL_VERSION } from './frame-codec.ts';
import { NONCE_BYTES, PROOF_BYTES } from './key-proof.ts';
import { HANDSHAKE_BYTES_MAX, NODE_ID_LENGTH_MAX, NODE_NAME_LENGTH_MAX } from './limits.ts';

/** What a node says of itself. */
export interface NodeIdentity {
  readonly nodeId: string;
  /** `clusterdb@<fqdn>`. */
  readonly name: string;
  readonly incarnation: number;
  /** Where it listens for cluster links: tells peers on one address apart. */
  readonly port: number;
}

/**
 * A count of the hellos and welcomes of one process. Two connections have no order between them, so a hello that was
 * overtaken by a later word of its sender on another connection is known by its smaller moment.
 */
export type Moment = number;

/** The dialler's wish: a new session of this id, or the old one from where it broke. */
export interface SessionOffer {
  readonly moment: Moment;
  readonly session: string;
  readonly resume: { readonly session: string; readonly received: number } | undefined;
}

export interface Hello {
  readonly nonce: Uint8Array;
  readonly identity: NodeIdentity;
  readonly offer: SessionOffer;
}

export interface Welcome {
  readonly identity: NodeIdentity;
  readonly moment: Moment;
  readonly session: string;
  readonly resumed: boolean;
  /** Last frame of the session the acceptor has received; 0 for a new one. */
  readonly received: number;
}

export interface Refusal {
  readonly code: string;
  readonly text: string;
}

export type HandshakeMessageType = 'challenge' | 'hello' | 'welcome' | 'refusal';

export type HandshakeMessage =
  | { readonly type: HandshakeMessageType; readonly body: Uint8Array }
  | { readonly type: 'version'; readonly version: number | undefined }
  | { readonly type: 'malformed' };

const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false, copyBuffers: true });

const SESSION_ID = /^[0-9a-f]{16,64}$/;
const REFUSAL_CODE = /^[a-z_]{1,40}$/;

export function readHandshakeMessage(octets: Uint8Array): HandshakeMessage {
  if (octets.byteLength < 2 || octets.byteLength > HANDSHAKE_BYTES_MAX) return { type: 'malformed' };
  if (octets[0] !== PROTOCOL_VERSION) return { type: 'version', version: octets[0] };
  const types: readonly HandshakeMessageType[] = ['challenge', 'hello', 'welcome', 'refusal'];
  const type = types.find((candidate) => FRAME_TYPES[candidate] === octets[1]);
  return type === undefined ? { type: 'malformed' } : { type, body: octets.subarray(2) };
}

export function encodeHello(hello: Hello): Buffer {
  const { identity, offer } = hello;
  return packCopy([
    hello.nonce,
    ...identityFields(identity),
    offer.moment,
    offer.session,
    offer.resume?.session ?? '',
    offer.resume?.received ?? 0,
  ]);
}

export function decodeHello(octets: Uint8Array): Hello | undefined {
  const fields = unpackArray(octets, 9);
  if (fields === undefined) return undefined;
  const [nonce, nodeId, name, incarnation, port, moment, session, resumeSession, received] = fields;
  const identity = checkedIdentity(nodeId, name, incarnation, port);
  if (identity === undefined || !isOctets(nonce, NONCE_BYTES) || !isSessionId(session)) return undefined;
  if (!isCount(moment) || !isCount(received) || typeof resumeSession !== 'string') return undefined;
  if (resumeSession === '') return { nonce, identity, offer: { moment, session, resume: undefined } };
  if (!isSessionId(resumeSession)) return undefined;
  return { nonce, identity, offer: { moment, session, resume: { session: resumeSession, received } } };
}

export function encodeWelcome(welcome: Welcome): Buffer {
  const { identity, moment, session, resumed, received } = welcome;
  return packCopy([...identityFields(identity), moment, session, resumed, received]);
}

export function decodeWelcome(octets: Uint8Array): Welcome | undefined {
  const fields = unpackArray(octets, 8);
  if (fields === undefined) return undefined;
  const [nodeId, name, incarnation, port, moment, session, resumed, received] = fields;
  const identity = checkedIdentity(nodeId, name, incarnation, port);
  if (identity === undefined || !isSessionId(session) || typeof resumed !== 'boolean') return undefined;
  if (!isCount(moment) || !isCount(received)) return undefined;
  return { identity, moment, session, resumed, received };
}

export function encodeRefusal(refusal: Refusal): Buffer {
  return packCopy([refusal.code, refusal.text]);
}

export function decodeRefusal(octets: Uint8Array): Refusal | undefined {
  const [code, text] = unpackArray(octets, 2) ?? [];
  if (typeof code !== 'string' || !REFUSAL_CODE.test(code) || typeof text !== 'string') return undefined;
  return { code, text: text.slice(0, 300).replaceAll(/[^\x20-\x7e]/g, '?') };
}

/** A message and the proof over it, as one body. */
export function encodeProven(message: Uint8Array, proof: Uint8Array): Buffer {
  return packCopy([message, proof]);
}

export function decodeProven(
  body: Uint8Array,
): { readonly message: Uint8Array; readonly proof: Uint8Array } | undefined {
  const [message, proof] = unpackArray(body, 2) ?? [];
  if (!(message instanceof Uint8Array) || !isOctets(proof, PROOF_BYTES)) return undefined;
  return { message, proof };
}

function identityFields(identity: NodeIdentity): readonly unknown[] {
  return [identity.nodeId, identity.name, identity.incarnation, identity.port];
}

function checkedIdentity(
  nodeId: unknown,
  name: unknown,
  incarnation: unknown,
  port: unknown,
): NodeIdentity | undefined {
  if (!isName(nodeId, NODE_ID_LENGTH_MAX) || !isName(name, NODE_NAME_LENGTH_MAX) || !name.includes('@')) {
    return undefined;
  }
  if (!isCount(incarnation) || !isCount(port) || port < 1 || port > 65_535) return undefined;
  return { nodeId, name, incarnation, port };
}

/** Names stand in log lines and on pages: no controls (B28), and nothing that would end a quoted field. */
function isName(value: unknown, lengthMax: number): value is string {
  return typeof value === 'string' && value.length <= lengthMax && isCleanText(value) && !/["\\<>]/.test(value);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isSessionId(value: unknown): value is string {
  return typeof value === 'string' && SESSION_ID.test(value);
}

function isOctets(value: unknown, length: number): value is Uint8Array {
  return value instanceof Uint8Array && value.byteLength === length;
}

/** The encoder hands out a view of its own buffer; these octets are kept, so they are copied. */
function packCopy(fields: readonly unknown[]): Buffer {
  return Buffer.from(packr.pack(fields));
}

function unpackArray(octets: Uint8Array, length: number): readonly unknown[] | undefined {
  try {
    const value: unknown = unpackr.unpack(octets);
    return Array.isArray(value) && value.length === length ? value : undefined;
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}
