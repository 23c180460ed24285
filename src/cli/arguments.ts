/** Values of options and arguments, read and refused with the reason. Shared by every command. */

import { isIPv4 } from 'node:net';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseDurationMs } from './table.ts';

export const PEERS_MAX = 6;
const DELAY_MS_MAX = 60_000;
const CLOCK_OFFSET_MS_MAX = 366 * 24 * 3_600_000;
const SEEDS_MAX = 1_000_000;
const JOBS_MOST = 64;

export function wholeNumber(from: number, to: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= from && value <= to) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${from} to ${to}.`);
  };
}

export const peerNumber = wholeNumber(1, PEERS_MAX);
export const nodeCount = wholeNumber(2, PEERS_MAX);
export const seedCount = wholeNumber(1, SEEDS_MAX);
export const jobCount = wholeNumber(1, JOBS_MOST);
export const seedNumber = wholeNumber(0, Number.MAX_SAFE_INTEGER);
export const minutes = wholeNumber(1, 24 * 60);

export function delay(text: string): number {
  const value = parseDurationMs(text);
  if (value !== undefined && value >= 0 && value <= DELAY_MS_MAX) return value;
  throw new InvalidArgumentError('It must be a time from 0ms to 60s, such as 80ms.');
}

export function clockOffset(text: string): number {
  const value = parseDurationMs(text);
  if (value !== undefined && Math.abs(value) <= CLOCK_OFFSET_MS_MAX) return Math.round(value);
  throw new InvalidArgumentError('It must be a time with a sign, such as +2s, -500ms or 0s.');
}

/** The first of up to six addresses in a row, so its last octet must leave room for them. */
export function firstAddress(text: string): string {
  const last = Number(text.split('.')[3]);
  if (isIPv4(text) && text.startsWith('127.') && last >= 1 && last + PEERS_MAX - 1 <= 254) return text;
  throw new InvalidArgumentError(
    'It must be a loopback IPv4 address whose last number is 1 to 249, such as 127.15.14.15.',
  );
}

export function collect(text: string, before: readonly string[]): readonly string[] {
  return [...before, text];
}

export function outputOption(): Option {
  return new Option('-o, --output <form>', 'form of the output').choices(['table', 'json']).default('table');
}

export function withDirectory(command: Command): Command {
  return command.option('-d, --dir <directory>', 'directory of the lab', './lab');
}
