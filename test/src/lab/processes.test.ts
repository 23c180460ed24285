import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  awaitCondition,
  conditionOf,
  identify,
  type LabProcess,
  parseProcStat,
  sendSignal,
} from '../../../src/lab/processes.ts';

let child: ChildProcess;
let known: LabProcess;
beforeEach(async () => {
  child = spawn(process.execPath, ['-e', 'process.stdout.write("up"); setInterval(() => {}, 1000)']);
  await once(child.stdout!, 'data');
  known = identify(child.pid!)!;
});
afterEach(() => {
  child.kill('SIGKILL');
});

describe('signals to processes of a lab', () => {
  test('a process is paused, goes on and is killed', async () => {
    expect(conditionOf(known)).toBe('running');
    expect(sendSignal(known, 'SIGSTOP')).toBe(true);
    expect(await awaitCondition(known, ['paused'], 5_000)).toBe(true);
    sendSignal(known, 'SIGCONT');
    expect(await awaitCondition(known, ['running'], 5_000)).toBe(true);
    sendSignal(known, 'SIGKILL');
    expect(await awaitCondition(known, ['gone'], 5_000)).toBe(true);
  });

  test('a signal for an earlier process with the same pid never reaches the process that has the pid now', async () => {
    const earlier = { pid: known.pid, identity: `${known.identity}0` };
    expect(conditionOf(earlier)).toBe('gone');
    expect(sendSignal(earlier, 'SIGKILL')).toBe(false);
    expect(await awaitCondition(known, ['gone'], 200)).toBe(false);
  });

  test('a process that has ended gets no signal', async () => {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    expect(sendSignal(known, 'SIGTERM')).toBe(false);
    expect(identify(known.pid)).toBeUndefined();
  });

  test.each([0, 1, -1, 1.5, Number.NaN])(
    'the pid %s is nobody: a signal to it would reach a group or the system',
    (pid) => {
      expect(identify(pid)).toBeUndefined();
      expect(sendSignal({ pid, identity: 'x' }, 'SIGTERM')).toBe(false);
    },
  );

  test('the start time is found behind a process name with spaces and brackets', () => {
    const rest = ['S', ...Array.from({ length: 18 }, (_, at) => String(at + 4)), '98765', '23'];
    expect(parseProcStat(`42 (a) (b c) ${rest.join(' ')}`)).toEqual({ state: 'S', startTicks: '98765' });
  });
});
