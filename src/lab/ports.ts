/** Which addresses and ports the peers of a lab get, and who has a port that is taken. */

import { createSocket } from 'node:dgram';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { CliError, systemCode } from '../cli/errors.ts';
import type { LabPorts } from './state.ts';

export const standardPorts: LabPorts = { cluster: 4372, recovery: 4371, ras: 1719, https: 8443 };

/** Between two peers that must share one address. */
const PORT_STEP = 10;
const SHARED_ADDRESS = '127.0.0.1';
export const FIRST_ADDRESS = '127.15.13.15';

export interface PeerPlace {
  readonly address: string;
  readonly ports: LabPorts;
}

type Protocol = 'tcp' | 'udp';

interface PortUse {
  readonly address: string;
  readonly port: number;
  readonly protocol: Protocol;
}

/** Undefined when it can be bound; otherwise the code of the system (`EADDRINUSE`, `EADDRNOTAVAIL`, …). */
function tryTcp(address: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (failure) => resolve(systemCode(failure) ?? failure.message));
    server.listen({ host: address, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

function tryUdp(address: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.once('error', (failure) => {
      socket.close();
      resolve(systemCode(failure) ?? failure.message);
    });
    socket.bind({ address, port, exclusive: true }, () => socket.close(() => resolve(undefined)));
  });
}

function usesOf(place: PeerPlace): PortUse[] {
  const { address, ports } = place;
  return [
    { address, port: ports.cluster, protocol: 'tcp' },
    { address, port: ports.recovery, protocol: 'tcp' },
    { address, port: ports.https, protocol: 'tcp' },
    { address, port: ports.ras, protocol: 'udp' },
  ];
}

/** The first port of `places` that cannot be bound, and why. */
export async function firstUnusable(places: readonly PeerPlace[]): Promise<(PortUse & { code: string }) | undefined> {
  for (const use of places.flatMap(usesOf)) {
    const code = await (use.protocol === 'tcp' ? tryTcp : tryUdp)(use.address, use.port);
    if (code !== undefined) return { ...use, code };
  }
  return undefined;
}

function inodesOf(use: PortUse): Set<string> {
  const inodes = new Set<string>();
  const port = use.port.toString(16).toUpperCase().padStart(4, '0');
  for (const file of [`/proc/net/${use.protocol}`, `/proc/net/${use.protocol}6`]) {
    for (const line of readFileSync(file, 'utf8').split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      // A TCP socket counts when it listens (0A); a UDP socket has no such state.
      const counts = use.protocol === 'udp' || fields[3] === '0A';
      if (counts && fields[1]?.endsWith(`:${port}`) && fields[9] !== undefined) inodes.add(fields[9]);
    }
  }
  return inodes;
}

function holdsSocket(pid: string, inodes: ReadonlySet<string>): boolean {
  for (const descriptor of readdirSync(`/proc/${pid}/fd`)) {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${descriptor}`))?.[1];
    if (inode !== undefined && inodes.has(inode)) return true;
  }
  return false;
}

/** Who listens there, as far as this user may see it: `process 4711 (node dist/main.mjs peer …)`. Linux only. */
export function portHolder(use: PortUse): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const inodes = inodesOf(use);
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (!holdsSocket(pid, inodes)) continue;
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      return `process ${pid} (${command.slice(0, 160)})`;
    } catch (failure) {
      // Processes end while they are looked at, and those of other users are not ours to see.
      const code = systemCode(failure);
      if (code !== 'ENOENT' && code !== 'EACCES' && code !== 'ESRCH' && code !== 'EPERM') throw failure;
    }
  }
  return undefined;
}

export function addressAfter(first: string, steps: number): string {
  const octets = first.split('.').map(Number);
  const last = (octets[3] ?? 0) + steps;
  return [...octets.slice(0, 3), last].join('.');
}

export function onOwnAddresses(count: number, first: string): PeerPlace[] {
  return Array.from({ length: count }, (_, at) => ({ address: addressAfter(first, at), ports: standardPorts }));
}

export function onOneAddress(count: number): PeerPlace[] {
  return Array.from({ length: count }, (_, at) => ({
    address: SHARED_ADDRESS,
    ports: {
      cluster: standardPorts.cluster + at * PORT_STEP,
      recovery: standardPorts.recovery + at * PORT_STEP,
      ras: standardPorts.ras + at * PORT_STEP,
      https: standardPorts.https + at * PORT_STEP,
    },
  }));
}

function portTaken(use: PortUse & { code: string }): CliError {
  const where = `${use.address} ${use.protocol} port ${use.port}`;
  if (use.code === 'EADDRINUSE') {
    return new CliError(
      'lab_port_taken',
      `${where} is taken`,
      `${portHolder(use) ?? 'another program'} listens there`,
      'stop it, or make another lab with --first-address, e.g. --dir ./lab2 --first-address 127.15.14.15',
    );
  }
  return new CliError(
    'lab_port_taken',
    `${where} cannot be used`,
    `the system answers ${use.code}`,
    'choose other loopback addresses with --first-address, e.g. 127.15.14.15',
  );
}

/** Places for a new lab: an address each where the system has them all (Linux), else one address and other ports. */
export async function choosePlaces(count: number, first: string | undefined): Promise<PeerPlace[]> {
  const own = onOwnAddresses(count, first ?? FIRST_ADDRESS);
  const obstacle = await firstUnusable(own);
  if (obstacle === undefined) return own;
  if (obstacle.code !== 'EADDRNOTAVAIL' || first !== undefined) throw portTaken(obstacle);
  const shared = onOneAddress(count);
  await requireFree(shared);
  return shared;
}

export async function requireFree(places: readonly PeerPlace[]): Promise<void> {
  const obstacle = await firstUnusable(places);
  if (obstacle !== undefined) throw portTaken(obstacle);
}
