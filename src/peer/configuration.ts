/** Reads, checks and completes the configuration file of a peer. Nothing else reads it. */
import { readFile, stat } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { dirname, resolve } from 'node:path';
import { parseCertificates } from './certificate-files.ts';
import { ConfigurationError, type ConfigurationProblem, problemAt, problemsOf } from './configuration-problems.ts';
import { configurationSchema, type ParsedConfiguration } from './configuration-schema.ts';
import { isAddress, peerAddressProblem } from './host-names.ts';

export { ConfigurationError, type ConfigurationProblem } from './configuration-problems.ts';
export type { ConfigurationFile } from './configuration-schema.ts';

export const CONFIGURATION_BYTES_MAX = 256 * 1024;
const SECRET_BYTES_MAX = 64 * 1024;
const CLUSTER_KEY_BYTES_MIN = 32;
const LAB_TOKEN_LENGTH_MIN = 32;

/** What the files named in the configuration hold. Never logged, never shown. */
export interface Secrets {
  readonly clusterKey: Uint8Array;
  readonly certificate: string;
  readonly privateKey: string;
  readonly authorities: readonly string[];
  readonly passwordHash: string;
  /** Only of a peer with `lab.enabled`. */
  readonly labToken: string | undefined;
}

export interface PeerConfiguration extends ParsedConfiguration {
  readonly file: string;
  /** `<systemName>.<domain>`. */
  readonly fqdn: string;
  /** `clusterdb@<fqdn>`. */
  readonly nodeName: string;
  /** Row of this system, from 1. */
  readonly thisPeer: number;
  /** Cluster port of each row. */
  readonly peerPorts: readonly number[];
  readonly secrets: Secrets;
}

/** Reads the file and all it names. Throws `ConfigurationError` with every problem found, not only the first. */
export async function loadConfiguration(path: string): Promise<PeerConfiguration> {
  const file = resolve(path);
  const raw = await readJson(file);
  const parsed = configurationSchema.safeParse(raw);
  if (!parsed.success) throw new ConfigurationError(file, problemsOf(parsed.error.issues, raw));
  const configuration = withAbsolutePaths(parsed.data, dirname(file));
  const problems = [...clusterProblems(configuration), ...portProblems(configuration)];
  const { secrets, problems: fileProblems } = await readSecrets(configuration);
  problems.push(...fileProblems);
  if (problems.length > 0 || secrets === undefined) throw new ConfigurationError(file, problems);
  const fqdn = `${configuration.systemName}.${configuration.domain}`;
  return {
    ...configuration,
    file,
    fqdn,
    nodeName: `clusterdb@${fqdn}`,
    thisPeer: ownRow(configuration),
    peerPorts: configuration.cluster.peers.map((_, row) => portOfRow(configuration, row)),
    secrets,
  };
}

async function readJson(file: string): Promise<unknown> {
  const fail = (what: string, allowed?: string) =>
    new ConfigurationError(file, [{ path: '', what, ...(allowed === undefined ? {} : { allowed }) }]);
  let text: string;
  try {
    const { size } = await stat(file);
    if (size > CONFIGURATION_BYTES_MAX)
      throw fail(`it is ${size} octets long; at most ${CONFIGURATION_BYTES_MAX} are read.`);
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof ConfigurationError) throw error;
    throw fail(`it cannot be read: ${reasonOf(error)}.`, 'a readable file; give its path with --config');
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw fail(`it is not JSON: ${reasonOf(error)}.`, 'one JSON object, without comments and trailing commas');
  }
}

function reasonOf(error: unknown): string {
  const code = (error as { code?: unknown }).code;
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'EACCES') return 'this user may not read it';
  if (code === 'EISDIR') return 'it is a directory';
  return error instanceof Error ? error.message : String(error);
}

function withAbsolutePaths(parsed: ParsedConfiguration, folder: string): ParsedConfiguration {
  const at = (path: string) => resolve(folder, path);
  return {
    ...parsed,
    dataDirectory: at(parsed.dataDirectory),
    clusterKeyFile: at(parsed.clusterKeyFile),
    certificate: {
      certificateFile: at(parsed.certificate.certificateFile),
      privateKeyFile: at(parsed.certificate.privateKeyFile),
      authoritiesFile: at(parsed.certificate.authoritiesFile),
    },
    web: { ...parsed.web, passwordHashFile: at(parsed.web.passwordHashFile) },
    log: { ...parsed.log, file: parsed.log.file === undefined ? undefined : at(parsed.log.file) },
    lab: parsed.lab === undefined ? undefined : { ...parsed.lab, tokenFile: at(parsed.lab.tokenFile) },
  };
}

function portOfRow(configuration: ParsedConfiguration, row: number): number {
  return configuration.cluster.peerPorts?.[row] ?? configuration.ports.cluster;
}

function mappedAddress(configuration: ParsedConfiguration, text: string): string | undefined {
  if (isAddress(text)) return text;
  if (!configuration.addressMapping.enabled) return undefined;
  const wanted = text.toLowerCase();
  return configuration.addressMapping.mappings.find((mapping) => mapping.fqdn.toLowerCase() === wanted)?.ip;
}

/** R10: the row that names this system, from 1; 0 when there is none. The own FQDN goes before any address. */
function ownRow(configuration: ParsedConfiguration): number {
  const fqdn = `${configuration.systemName}.${configuration.domain}`.toLowerCase();
  const { peers } = configuration.cluster;
  const byName = peers.findIndex((text) => text.toLowerCase() === fqdn);
  if (byName >= 0) return byName + 1;
  const own = ownAddresses(configuration.bindAddress);
  const byAddress = peers.findIndex((text, row) => {
    const address = mappedAddress(configuration, text);
    return address !== undefined && own.has(address) && portOfRow(configuration, row) === configuration.ports.cluster;
  });
  return byAddress + 1;
}

function ownAddresses(bindAddress: string): ReadonlySet<string> {
  if (bindAddress !== '0.0.0.0' && bindAddress !== '::') return new Set([bindAddress]);
  return new Set(Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((entry) => entry.address)));
}

function clusterProblems(configuration: ParsedConfiguration): ConfigurationProblem[] {
  const { cluster, bindAddress } = configuration;
  const problems: ConfigurationProblem[] = [];
  const say = (path: readonly PropertyKey[], what: string) => problems.push(problemAt(path, what));
  const seen = new Map<string, number>();
  cluster.peers.forEach((text, row) => {
    const path = ['cluster', 'peers', row];
    if (text === '') {
      say(path, `row ${row + 1} is empty: the list may have no gaps. Remove the entry.`);
      return;
    }
    const problem = peerAddressProblem(text, cluster.ipVersion);
    if (problem !== undefined) say(path, `"${text.slice(0, 60)}" is not allowed: ${problem}.`);
    const key = `${text.toLowerCase()} ${portOfRow(configuration, row)}`;
    const first = seen.get(key);
    if (first !== undefined) say(path, `"${text}" is in row ${first + 1} already; every peer has one row.`);
    else seen.set(key, row);
  });
  if (cluster.configurationPrimary > cluster.peers.length) {
    say(
      ['cluster', 'configurationPrimary'],
      `${cluster.configurationPrimary} names no row: cluster.peers has ${cluster.peers.length}.`,
    );
  }
  if (cluster.peerPorts !== undefined && cluster.peerPorts.length !== cluster.peers.length) {
    say(
      ['cluster', 'peerPorts'],
      `it has ${cluster.peerPorts.length} entries, cluster.peers has ${cluster.peers.length}.`,
    );
  }
  if ((isIPv4(bindAddress) ? 'IPv4' : 'IPv6') !== cluster.ipVersion) {
    say(['bindAddress'], `"${bindAddress}" is not an ${cluster.ipVersion} address, as cluster.ipVersion asks.`);
  }
  if (ownRow(configuration) === 0) {
    const fqdn = `${configuration.systemName}.${configuration.domain}`;
    say(
      ['cluster', 'peers'],
      `This system's address is not in the peer list: no row is "${fqdn}" or stands for ${bindAddress}. Add it.`,
    );
  }
  return problems;
}

function portProblems({ ports, cluster, ...rest }: ParsedConfiguration): ConfigurationProblem[] {
  const problems: ConfigurationProblem[] = [];
  const tcp = new Map<number, string>();
  for (const name of ['cluster', 'recovery', 'https'] as const) {
    const other = tcp.get(ports[name]);
    if (other !== undefined) problems.push(problemAt(['ports', name], `${ports[name]} is ports.${other} already.`));
    else tcp.set(ports[name], name);
  }
  const lower = new Map<string, number>();
  rest.addressMapping.mappings.forEach(({ fqdn, ip }, row) => {
    const first = lower.get(fqdn.toLowerCase());
    if (first !== undefined) {
      problems.push(
        problemAt(['addressMapping', 'mappings', row, 'fqdn'], `"${fqdn}" is mapped in row ${first + 1} already.`),
      );
    }
    lower.set(fqdn.toLowerCase(), row);
    if ((isIPv4(ip) ? 'IPv4' : 'IPv6') !== cluster.ipVersion) {
      problems.push(
        problemAt(['addressMapping', 'mappings', row, 'ip'], `"${ip}" is not an ${cluster.ipVersion} address.`),
      );
    }
  });
  return problems;
}

async function readSecrets(
  configuration: ParsedConfiguration,
): Promise<{ secrets: Secrets | undefined; problems: ConfigurationProblem[] }> {
  const problems: ConfigurationProblem[] = [];
  const read = async (path: readonly PropertyKey[], file: string, secret: boolean): Promise<Uint8Array | undefined> => {
    const outcome = await readSmallFile(file, secret);
    if (typeof outcome !== 'string') return outcome;
    problems.push(problemAt(path, outcome));
    return undefined;
  };
  const { certificate: files, web, lab } = configuration;
  const clusterKey = await read(['clusterKeyFile'], configuration.clusterKeyFile, true);
  const certificate = await read(['certificate', 'certificateFile'], files.certificateFile, false);
  const privateKey = await read(['certificate', 'privateKeyFile'], files.privateKeyFile, true);
  const authorities = await read(['certificate', 'authoritiesFile'], files.authoritiesFile, false);
  const passwordHash = await read(['web', 'passwordHashFile'], web.passwordHashFile, true);
  const token = lab?.enabled === true ? await read(['lab', 'tokenFile'], lab.tokenFile, true) : undefined;
  if (problems.length > 0) return { secrets: undefined, problems };
  const text = (octets: Uint8Array | undefined) => new TextDecoder().decode(octets).trim();
  const secrets: Secrets = {
    clusterKey: withoutLineEnd(clusterKey!),
    certificate: text(certificate),
    privateKey: text(privateKey),
    authorities: parseCertificates(text(authorities)),
    passwordHash: text(passwordHash),
    labToken: token === undefined ? undefined : text(token),
  };
  problems.push(...secretProblems(secrets));
  return { secrets, problems };
}

/** An editor's or a shell's line end is no part of a key, and every peer must get the same octets from the same file. */
function withoutLineEnd(octets: Uint8Array): Uint8Array {
  let end = octets.length;
  while (end > 0 && (octets[end - 1] === 0x0a || octets[end - 1] === 0x0d)) end -= 1;
  return octets.subarray(0, end);
}

function secretProblems(secrets: Secrets): ConfigurationProblem[] {
  const problems: ConfigurationProblem[] = [];
  const { clusterKey, certificate, privateKey, authorities, passwordHash, labToken } = secrets;
  if (clusterKey.length < CLUSTER_KEY_BYTES_MIN) {
    problems.push(
      problemAt(
        ['clusterKeyFile'],
        `the key has ${clusterKey.length} octets; at least ${CLUSTER_KEY_BYTES_MIN} are needed.`,
      ),
    );
  }
  if (parseCertificates(certificate).length === 0) {
    problems.push(problemAt(['certificate', 'certificateFile'], 'it holds no certificate in PEM form.'));
  }
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(privateKey)) {
    problems.push(problemAt(['certificate', 'privateKeyFile'], 'it holds no private key in PEM form.'));
  }
  if (authorities.length === 0) {
    problems.push(problemAt(['certificate', 'authoritiesFile'], 'it holds no certificate in PEM form.'));
  }
  if (!/^scrypt\$\d+\$\d+\$\d+\$[A-Za-z0-9_-]+\$[A-Za-z0-9_-]+$/.test(passwordHash)) {
    problems.push(
      problemAt(['web', 'passwordHashFile'], 'it holds no scrypt hash of a password (scrypt$N$r$p$salt$hash).'),
    );
  }
  if (labToken !== undefined && !/^[\x21-\x7e]+$/.test(labToken)) {
    problems.push(problemAt(['lab', 'tokenFile'], 'the token holds something else than visible ASCII characters.'));
  } else if (labToken !== undefined && labToken.length < LAB_TOKEN_LENGTH_MIN) {
    problems.push(problemAt(['lab', 'tokenFile'], `the token is shorter than ${LAB_TOKEN_LENGTH_MIN} characters.`));
  }
  return problems;
}

/** The octets, or what is wrong with the file. A secret that everybody on the machine can read is none. */
async function readSmallFile(file: string, secret: boolean): Promise<Uint8Array | string> {
  try {
    const { size, mode } = await stat(file);
    if (size > SECRET_BYTES_MAX && secret)
      return `${file} is ${size} octets long; at most ${SECRET_BYTES_MAX} are read.`;
    if (size > CONFIGURATION_BYTES_MAX)
      return `${file} is ${size} octets long; at most ${CONFIGURATION_BYTES_MAX} are read.`;
    if (secret && process.platform !== 'win32' && (mode & 0o004) !== 0) {
      return `${file} can be read by everybody on this machine. Run: chmod 600 ${file}`;
    }
    return await readFile(file);
  } catch (error) {
    return `${file} cannot be read: ${reasonOf(error)}.`;
  }
}
