/**
 * The configuration file of a peer, as a schema. Every field carries what it allows and an example, so that an error
 * can say both (`explain.ts`). `cluster` and `addressMapping` are first-boot values: afterwards the database holds them.
 */
import { z } from 'zod';
import { HOST_NAME_LENGTH_MAX, hostNameProblem } from './host-names.ts';

export const PEERS_MAX = 6;
export const MAPPINGS_MAX = 32;
export const PATH_LENGTH_MAX = 4096;

export interface FieldHelp {
  readonly allowed: string;
  readonly example: string;
}

function help<T extends z.ZodType>(schema: T, allowed: string, example: string): T {
  return schema.meta({ allowed, example } satisfies FieldHelp) as T;
}

function integer(from: number, to: number, example: number, unit = ''): z.ZodNumber {
  return help(z.number().int().min(from).max(to), `a whole number from ${from} to ${to}${unit}`, String(example));
}

const port = (example: number) => integer(1, 65_535, example);

const hostName = (allowed: string, example: string) =>
  help(
    z
      .string()
      .max(HOST_NAME_LENGTH_MAX)
      .superRefine((value, context) => {
        const problem = hostNameProblem(value);
        if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
      }),
    allowed,
    example,
  );

const file = (what: string, example: string) =>
  help(z.string().min(1).max(PATH_LENGTH_MAX), `the path of ${what}, relative to this file's folder`, `"${example}"`);

const levels =
  'dot-separated levels of letters, digits and hyphens, no hyphen at either end, the last starting with a letter';

const address = (example: string) =>
  help(
    z.string().refine((value) => z.ipv4().safeParse(value).success || z.ipv6().safeParse(value).success, {
      error: 'it is not an IP address',
    }),
    'an IPv4 or IPv6 address',
    `"${example}"`,
  );

const systemName = help(
  z.string().regex(/^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/, { error: 'it is not a host label' }),
  'one host label: letters, digits and hyphens, no hyphen at either end, at most 63 characters',
  '"peer1"',
);

const ports = z.strictObject({
  cluster: port(4372).default(4372),
  recovery: port(4371).default(4371),
  ras: port(1719).default(1719),
  https: port(8443).default(8443),
});

const cluster = z.strictObject({
  name: hostName(levels, '"cluster.example.com"'),
  configurationPrimary: integer(1, PEERS_MAX, 1).default(1),
  ipVersion: help(z.enum(['IPv4', 'IPv6']), '"IPv4" or "IPv6"', '"IPv4"').default('IPv4'),
  tlsVerify: help(z.enum(['Permissive', 'Enforcing']), '"Permissive" or "Enforcing"', '"Permissive"').default(
    'Permissive',
  ),
  peers: help(
    z
      .array(help(z.string(), 'an IP address or an FQDN', '"peer1.example.com"'))
      .min(1)
      .max(PEERS_MAX),
    `a list of 1 to ${PEERS_MAX} peer addresses, this system's own among them, in the same order on every peer`,
    '["peer1.example.com", "peer2.example.com"]',
  ),
  peerPorts: help(
    z.array(port(4372)).max(PEERS_MAX),
    'one cluster port for each entry of cluster.peers; only for peers that share one address',
    '[4372, 4373]',
  ).optional(),
});

const addressMapping = z.strictObject({
  enabled: help(z.boolean(), 'true or false', 'true').default(false),
  mappings: help(
    z
      .array(z.strictObject({ fqdn: hostName(levels, '"peer1.example.com"'), ip: address('10.15.13.15') }))
      .max(MAPPINGS_MAX),
    `a list of at most ${MAPPINGS_MAX} pairs`,
    '[{ "fqdn": "peer1.example.com", "ip": "10.15.13.15" }]',
  ).default([]),
});

const timings = z.strictObject({
  synchroniseIntervalMs: integer(1_000, 3_600_000, 120_000, ' (ms)').default(120_000),
  forcedUpdateMs: integer(1_000, 3_600_000, 300_000, ' (ms)').default(300_000),
  netTicktimeMs: integer(400, 120_000, 4_000, ' (ms)').default(4_000),
  resumeWindowMs: integer(0, 60_000, 1_000, ' (ms)').default(1_000),
});

const log = z.strictObject({
  file: file('the event log', './peer.log').optional(),
  console: help(z.boolean(), 'true or false', 'true').default(false),
});

export const configurationSchema = z.strictObject({
  systemName,
  domain: hostName(levels, '"example.com"'),
  nodeType: help(z.enum(['core', 'edge']), '"core" or "edge"', '"core"').default('core'),
  dataDirectory: file('the data directory; it is made when absent', './data'),
  bindAddress: address('10.15.13.15'),
  ports: ports.default(() => ports.parse({})),
  cluster,
  addressMapping: addressMapping.default(() => addressMapping.parse({})),
  clusterKeyFile: file('the key all peers of the cluster share', './cluster.key'),
  certificate: z.strictObject({
    certificateFile: file("this peer's certificate chain (PEM)", './peer.crt'),
    privateKeyFile: file("the certificate's private key (PEM)", './peer.key'),
    authoritiesFile: file('the certificates of the trusted authorities (PEM)', './ca.crt'),
  }),
  web: z.strictObject({
    passwordHashFile: file("the hash of the administrator's password", './admin.hash'),
    sessionMinutes: integer(1, 1_440, 30, ' (minutes)').default(30),
  }),
  log: log.default(() => log.parse({})),
  timings: timings.default(() => timings.parse({})),
  lab: z
    .strictObject({
      enabled: help(z.boolean(), 'true or false', 'true'),
      tokenFile: file('the token of the lab', './lab.token'),
    })
    .optional(),
});

/** The file as it is written. */
export type ConfigurationFile = z.input<typeof configurationSchema>;
/** The file as it is read, defaults filled in. */
export type ParsedConfiguration = z.output<typeof configurationSchema>;
