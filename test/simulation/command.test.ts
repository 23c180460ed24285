/** The command `simulate`, as a process of its own: what it prints, how it ends, and that a seed is one history. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const run = promisify(execFile);
const PATIENCE_MS = 120_000;

async function simulate(...words: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const main = new URL('../../src/simulation/main.ts', import.meta.url).pathname;
  try {
    const { stdout, stderr } = await run(process.execPath, ['--import', 'tsx', main, ...words], { maxBuffer: 1 << 28 });
    return { code: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, stdout, stderr };
  }
}

describe('the command simulate', () => {
  it(
    'prints one history hash for one seed, in whichever process it runs',
    async () => {
      const [one, other] = [
        await simulate('--seeds', '2', '--from', '5', '-o', 'json'),
        await simulate('--seeds', '2', '--from', '5', '-o', 'json'),
      ];
      expect(one.code).toBe(0);
      const { seeds, totals, ok } = JSON.parse(one.stdout);
      expect(ok).toBe(true);
      expect(totals.seeds).toBe(2);
      expect(seeds).toHaveLength(2);
      expect(seeds[0].hash).toMatch(/^[0-9a-f]{16}$/);
      expect(JSON.parse(other.stdout).seeds).toEqual(seeds);
    },
    PATIENCE_MS,
  );

  it(
    'says the same of each seed, and in the same order, in however many processes they run',
    async () => {
      const [one, three] = [
        await simulate('--seeds', '7', '--from', '11', '--jobs', '1', '-o', 'json'),
        await simulate('--seeds', '7', '--from', '11', '--jobs', '3', '-o', 'json'),
      ];
      const [alone, shared] = [JSON.parse(one.stdout), JSON.parse(three.stdout)];
      expect(alone.seeds.map(({ seed }: { seed: number }) => seed)).toEqual([11, 12, 13, 14, 15, 16, 17]);
      expect(shared.seeds).toEqual(alone.seeds);
      expect({ ...shared.totals, cpuSeconds: 0 }).toEqual({ ...alone.totals, cpuSeconds: 0 });
    },
    PATIENCE_MS,
  );

  it(
    'gives a seed the history it has alone, whatever ran in its process before',
    async () => {
      const after = await simulate('--seeds', '4', '--from', '20', '-o', 'json');
      const alone = await simulate('--seeds', '1', '--from', '23', '-o', 'json');
      expect(JSON.parse(after.stdout).seeds[3]).toEqual(JSON.parse(alone.stdout).seeds[0]);
    },
    PATIENCE_MS,
  );

  it(
    'tells with --trace who sent what to whom, and when, without changing the history',
    async () => {
      const told = await simulate('--seeds', '1', '--from', '5', '--trace');
      expect(told.stdout).toMatch(/^ +\d+\.\d{6} {2}send +peer\d +to peer\d/m);
      expect(told.stdout).toMatch(/^ +\d+\.\d{6} {2}receive +peer\d +from peer\d/m);
      expect(told.stdout).toMatch(/^ +\d+\.\d{6} {2}link +peer\d +up peer\d incarnation 1/m);
      expect(told.stdout).toMatch(/^ +\d+\.\d{6} {2}complete +client\d\.\d +#\d+ /m);
      const quiet = await simulate('--seeds', '1', '--from', '5', '-o', 'json');
      expect(told.stdout).toContain(`history ${JSON.parse(quiet.stdout).seeds[0].hash}`);
    },
    PATIENCE_MS,
  );

  it('refuses what makes no sense, and says why', async () => {
    const refusals: readonly [words: string, text: string][] = [
      ['--seeds 0', '--seeds'],
      ['--nodes 9', 'whole number from 2 to 6'],
      ['--jobs 0', 'whole number from 1 to 64'],
      ['--profile earthquake', 'crooked partitions'],
      ['--seed 7', "unknown option '--seed'"],
    ];
    for (const [words, text] of refusals) {
      const refused = await simulate(...words.split(' '));
      expect(refused).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(text) });
    }
  });

  it('lists its options, and runs nothing, when asked for help', async () => {
    const help = await simulate('--help');
    expect(help).toMatchObject({ code: 0, stdout: expect.stringContaining('--profile <name>') });
    expect(help.stdout).not.toContain('acknowledged');
  });
});
