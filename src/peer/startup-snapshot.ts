/**
 * What a peer needs to know before its tables can be read: whom to dial, and the TLS mode to open its links with. It is
 * a copy of the stored configuration in a small file of the data directory, written after every change; the tables stay
 * the truth, and a copy that is a moment old only makes the peer say that its active mode differs (20020).
 */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { ClusterConfiguration } from '../../actors/clusterdb/cluster-configuration.ts';

const FILE = 'startup.json';

const snapshotSchema = z.object({
  format: z.literal(1),
  name: z.string(),
  configurationPrimary: z.number().int().min(1).max(6),
  ipVersion: z.enum(['IPv4', 'IPv6']),
  tlsVerify: z.enum(['Permissive', 'Enforcing']),
  peers: z.array(z.string()).max(6),
  addressMapping: z.object({
    enabled: z.boolean(),
    mappings: z.array(z.object({ fqdn: z.string(), ip: z.string() })),
  }),
});

export class StartupSnapshot {
  readonly #path: string;
  #written = '';
  #writing: Promise<void> = Promise.resolve();

  constructor(dataDirectory: string) {
    this.#path = join(dataDirectory, FILE);
  }

  /** `undefined` at a first boot. A file that cannot be understood counts as none; `trouble` says why. */
  async read(trouble: (reason: string) => void): Promise<ClusterConfiguration | undefined> {
    let text: string;
    try {
      text = await readFile(this.#path, 'utf8');
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'ENOENT') trouble(String(error));
      return undefined;
    }
    try {
      const { format: _, ...configuration } = snapshotSchema.parse(JSON.parse(text));
      this.#written = text;
      return configuration;
    } catch (error) {
      trouble(`${this.#path} is not a snapshot of a configuration: ${String(error)}`);
      return undefined;
    }
  }

  /** In order, each by rename: a reader finds the old copy or the new one, never half of one. */
  write(configuration: ClusterConfiguration): Promise<void> {
    const text = JSON.stringify({ format: 1, ...configuration });
    if (text === this.#written) return this.#writing;
    this.#written = text;
    this.#writing = this.#writing.then(async () => {
      const fresh = `${this.#path}.new`;
      await writeFile(fresh, text, { mode: 0o600 });
      await rename(fresh, this.#path);
    });
    return this.#writing;
  }
}
