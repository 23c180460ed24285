/**
 * Real peers over real links and discs, killed again and again by kill -9, one, two or all of them at one moment. The
 * simulator's checkers read what they did: nothing that was answered may be missing.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { createLab } from '../../src/lab/create.ts';
import { choosePlaces } from '../../src/lab/ports.ts';
import { peerCommand } from '../../src/lab/program-file.ts';
import { type FaultKind, SOAK_FAULTS } from '../../src/soak/faults.ts';
import { problemsOf } from '../../src/soak/main.ts';
import { Soak, type SoakResult } from '../../src/soak/soak.ts';

const parent = mkdtempSync(join(tmpdir(), 'peerage-kills-'));
const said: string[] = [];

afterAll(() => rmSync(parent, { recursive: true, force: true }));

interface Run {
  readonly name: string;
  readonly firstAddress: string;
  readonly faults: readonly FaultKind[];
  readonly roundMs: number;
  readonly roundKills: number;
  readonly faultEveryMs: number;
}

async function soak({ name, firstAddress, ...run }: Run): Promise<SoakResult> {
  said.length = 0;
  const { lab } = await createLab(join(parent, name), await choosePlaces(3, firstAddress));
  const [program, ...first] = peerCommand();
  return await new Soak({
    lab,
    seed: 7,
    minutes: 0,
    keepOne: false,
    command: [program, ...first, 'soak-peer'],
    say: (text) => said.push(text),
    ...run,
  }).run();
}

test('M33 nothing that was answered is lost when peers are killed fifty times, any number of them at once', async () => {
  const result = await soak({
    name: 'kills',
    firstAddress: '127.15.41.15',
    faults: ['kill several'],
    roundMs: 1000,
    roundKills: 50,
    faultEveryMs: 400,
  });
  expect(problemsOf(result), said.join('\n')).toEqual([]);
  expect(result.kills).toBeGreaterThanOrEqual(50);
  expect(
    result.rounds[0]?.checked['nothing acknowledged missing: acknowledged writes'],
    said.join('\n'),
  ).toBeGreaterThan(500);
}, 300_000);

test('every fault of the long run in one short round leaves nothing lost, nothing unequal and nothing behind', async () => {
  const result = await soak({
    name: 'faults',
    firstAddress: '127.15.42.15',
    faults: [...new Set(SOAK_FAULTS)],
    roundMs: 30_000,
    roundKills: 0,
    faultEveryMs: 2000,
  });
  expect(problemsOf(result), said.join('\n')).toEqual([]);
  expect(Object.values(result.faults).reduce((sum, times) => sum + times, 0)).toBeGreaterThanOrEqual(3);
  expect(result.rounds[0]?.checked['nothing acknowledged missing: acknowledged writes']).toBeGreaterThan(500);
}, 180_000);
