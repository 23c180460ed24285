/**
 * Passwords at rest: `scrypt$<N>$<r>$<p>$<salt>$<hash>`, salt and hash in base64url. The cost stands in the hash, so it can
 * be raised later without locking anybody out.
 */
import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';

const COST = 2 ** 15;
const COST_MAX = 2 ** 20;
const BLOCK_SIZE = 8;
const PARALLEL = 1;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
export const PASSWORD_LENGTH_MAX = 1024;
export const PASSWORD_LENGTH_MIN = 8;

function derive(
  password: string,
  salt: Uint8Array,
  cost: number,
  r: number,
  p: number,
  length: number,
): Promise<Buffer> {
  // 128·N·r octets are needed; Node's own limit of 32 MiB stands just at our cost.
  const options: ScryptOptions = { N: cost, r, p, maxmem: 128 * cost * r + 1024 * 1024 };
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFC'), salt, length, options, (error, key) => (error ? reject(error) : resolve(key)));
  });
}

/** For whoever sets a password; throws when it is too short or too long. */
export async function hashPassword(password: string): Promise<string> {
  if (password.length < PASSWORD_LENGTH_MIN || password.length > PASSWORD_LENGTH_MAX) {
    throw new Error(`A password has ${PASSWORD_LENGTH_MIN} to ${PASSWORD_LENGTH_MAX} characters; choose another one.`);
  }
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(password, salt, COST, BLOCK_SIZE, PARALLEL, HASH_BYTES);
  return `scrypt$${COST}$${BLOCK_SIZE}$${PARALLEL}$${salt.toString('base64url')}$${hash.toString('base64url')}`;
}

/** False too for a hash that cannot be read: nobody gets in by a broken file. */
export async function verifyPassword(password: string, stored: string): Promise<boolean> {
  const [kind, cost, r, p, salt, hash] = stored.trim().split('$');
  if (kind !== 'scrypt' || salt === undefined || hash === undefined || password.length > PASSWORD_LENGTH_MAX)
    return false;
  const [n, blockSize, parallel] = [Number(cost), Number(r), Number(p)];
  if (!(n >= 2 && n <= COST_MAX && blockSize >= 1 && blockSize <= 32 && parallel >= 1 && parallel <= 16)) return false;
  const expected = Buffer.from(hash, 'base64url');
  if (expected.length < 16) return false;
  const actual = await derive(password, Buffer.from(salt, 'base64url'), n, blockSize, parallel, expected.length);
  return timingSafeEqual(actual, expected);
}
