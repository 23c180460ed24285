import { X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { verifyPassword } from '../../../src/api/passwords.ts';
import { createLab, makePassword, purgeLab, setPassword } from '../../../src/lab/create.ts';
import { onOneAddress, onOwnAddresses } from '../../../src/lab/ports.ts';
import { labFiles, readLab } from '../../../src/lab/state.ts';
import { loadConfiguration } from '../../../src/peer/configuration.ts';
import { temporaryDirectory } from './support.ts';

let home: ReturnType<typeof temporaryDirectory>;
beforeEach(() => {
  home = temporaryDirectory();
});
afterEach(() => home.remove());

const ownAddresses = (count: number) => onOwnAddresses(count, '127.15.13.15');

describe('making a lab directory', () => {
  test('every configuration file it writes is accepted by the peer that will read it', async () => {
    const { lab } = await createLab(join(home.path, 'lab'), ownAddresses(3));
    for (const peer of lab.state.peers) {
      const configuration = await loadConfiguration(join(lab.directory, peer.folder, labFiles.peerConfiguration));
      expect(configuration.thisPeer).toBe(peer.index);
      expect(configuration.fqdn).toBe(`peer${peer.index}.lab.peerage.example`);
      expect(configuration.bindAddress).toBe(`127.15.13.${14 + peer.index}`);
      expect(configuration.cluster.peers).toHaveLength(3);
      expect(configuration.lab?.enabled).toBe(true);
    }
  });

  test('peers that share one address have ports of their own and are told those of the others', async () => {
    const { lab } = await createLab(join(home.path, 'lab'), onOneAddress(6));
    const configurations = await Promise.all(
      lab.state.peers.map((peer) => loadConfiguration(join(lab.directory, peer.folder, labFiles.peerConfiguration))),
    );
    const ports = configurations.flatMap(({ ports: { cluster, recovery, https } }) => [cluster, recovery, https]);
    expect(new Set(ports).size).toBe(18);
    expect(configurations.map((each) => each.thisPeer)).toEqual([1, 2, 3, 4, 5, 6]);
    for (const each of configurations) {
      expect(each.peerPorts).toEqual(configurations.map((other) => other.ports.cluster));
    }
  });

  test('each certificate is issued by the authority of the lab and holds the name and address of its peer', async () => {
    const { lab } = await createLab(join(home.path, 'lab'), ownAddresses(2));
    const authority = new X509Certificate(readFileSync(join(lab.directory, labFiles.authority)));
    for (const peer of lab.state.peers) {
      const certificate = new X509Certificate(readFileSync(join(lab.directory, peer.folder, 'peer.crt')));
      expect(certificate.verify(authority.publicKey)).toBe(true);
      expect(certificate.checkHost(peer.fqdn)).toBe(peer.fqdn);
      expect(certificate.checkIP(peer.address)).toBe(peer.address);
    }
  });

  test('secrets are readable by their owner only, and the password is kept as a hash', async () => {
    const { lab, password } = await createLab(join(home.path, 'lab'), ownAddresses(2));
    const secrets = [
      labFiles.authorityKey,
      labFiles.clusterKey,
      labFiles.passwordHash,
      labFiles.token,
      'peer1/peer.key',
    ];
    for (const name of secrets) {
      expect(statSync(join(lab.directory, name)).mode & 0o077, name).toBe(0);
    }
    const hash = readFileSync(join(lab.directory, labFiles.passwordHash), 'utf8');
    expect(await verifyPassword(password, hash)).toBe(true);
    const everything = readdirSync(lab.directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'));
    expect(everything.filter((text) => text.includes(password))).toEqual([]);
  });

  test('a new password replaces the old one', async () => {
    const { lab, password } = await createLab(join(home.path, 'lab'), ownAddresses(1));
    const fresh = await setPassword(lab.directory);
    const hash = readFileSync(join(lab.directory, labFiles.passwordHash), 'utf8');
    expect(await verifyPassword(fresh, hash)).toBe(true);
    expect(await verifyPassword(password, hash)).toBe(false);
  });

  test('passwords are long, of letters that are not mistaken for each other, and never the same', () => {
    const passwords = Array.from({ length: 50 }, makePassword);
    expect(new Set(passwords).size).toBe(50);
    for (const password of passwords) expect(password).toMatch(/^([a-hjkmnp-z2-9]{5}-){3}[a-hjkmnp-z2-9]{5}$/);
  });

  test('a directory with files of somebody else is refused and left as it was', async () => {
    const path = join(home.path, 'mine');
    mkdirSync(path);
    writeFileSync(join(path, 'letter.txt'), 'dear');
    await expect(createLab(path, ownAddresses(1))).rejects.toMatchObject({ code: 'lab_not_a_lab' });
    expect(readdirSync(path)).toEqual(['letter.txt']);
    expect(readdirSync(home.path)).toEqual(['mine']);
  });

  test('a file in the place of the directory is refused', async () => {
    const path = join(home.path, 'file');
    writeFileSync(path, 'x');
    await expect(createLab(path, ownAddresses(1))).rejects.toMatchObject({ code: 'lab_not_a_lab' });
  });

  test('an empty directory is used', async () => {
    const path = join(home.path, 'empty');
    mkdirSync(path);
    await createLab(path, ownAddresses(1));
    expect(readLab(path).state.peers).toHaveLength(1);
  });

  test('of two commands that make the same lab at the same time one succeeds, and nothing half made is left', async () => {
    const path = join(home.path, 'lab');
    const results = await Promise.allSettled([createLab(path, ownAddresses(2)), createLab(path, ownAddresses(1))]);
    const refused = results.filter((result) => result.status === 'rejected').map((result) => result.reason.code);
    expect(refused).toEqual(['lab_not_a_lab']);
    expect(readdirSync(home.path)).toEqual(['lab']);
    expect(readLab(path).state.peers.length).toBeGreaterThan(0);
  });
});

describe('removing a lab directory', () => {
  test('all that the lab made is removed, with the directory', async () => {
    const { lab } = await createLab(join(home.path, 'lab'), ownAddresses(2));
    mkdirSync(join(lab.directory, 'peer1/data'));
    expect(purgeLab(lab)).toEqual([]);
    expect(existsSync(lab.directory)).toBe(false);
  });

  test('what the lab did not make is kept and named', async () => {
    const { lab } = await createLab(join(home.path, 'lab'), ownAddresses(2));
    writeFileSync(join(lab.directory, 'notes.txt'), 'mine');
    expect(purgeLab(lab)).toEqual(['notes.txt']);
    expect(readdirSync(lab.directory)).toEqual(['notes.txt']);
  });
});
