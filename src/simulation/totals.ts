/** Sums over seeds, and the table that shows them. */
import type { SeedSummary } from './seed-run.ts';

export interface Totals {
  seeds: number;
  failed: number;
  virtualMs: number;
  cpuSeconds: number;
  events: number;
  transactions: number;
  acknowledged: number;
  refused: number;
  uncertain: number;
  reruns: number;
  messages: number;
  starts: number;
  splits: number;
  healed: number;
  conflicts: number;
  readonly faults: Record<string, number>;
  readonly errors: Record<string, number>;
  readonly profiles: Record<string, number>;
  readonly checked: Record<string, number>;
}

export function emptyTotals(): Totals {
  return {
    seeds: 0,
    failed: 0,
    virtualMs: 0,
    cpuSeconds: 0,
    events: 0,
    transactions: 0,
    acknowledged: 0,
    refused: 0,
    uncertain: 0,
    reruns: 0,
    messages: 0,
    starts: 0,
    splits: 0,
    healed: 0,
    conflicts: 0,
    faults: {},
    errors: {},
    profiles: {},
    checked: {},
  };
}

export function addSeed(totals: Totals, result: SeedSummary): void {
  const { counts } = result;
  totals.seeds++;
  if (result.violations.length > 0) totals.failed++;
  totals.cpuSeconds += result.cpuSeconds;
  totals.virtualMs += counts.virtualMs;
  totals.events += counts.events;
  totals.transactions += counts.transactions;
  totals.acknowledged += counts.acknowledged;
  totals.refused += counts.failed;
  totals.uncertain += counts.uncertain;
  totals.reruns += counts.reruns;
  totals.messages += counts.messages;
  totals.starts += counts.starts;
  totals.splits += counts.split ? 1 : 0;
  totals.healed += counts.healed;
  totals.conflicts += counts.conflicts;
  totals.profiles[result.profile] = (totals.profiles[result.profile] ?? 0) + 1;
  addAll(totals.faults, counts.faults);
  addAll(totals.errors, counts.errors);
  addAll(totals.checked, result.checked);
}

function addAll(sums: Record<string, number>, more: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(more)) sums[name] = (sums[name] ?? 0) + count;
}

export function totalsTable(totals: Totals): string {
  const virtualMinutes = totals.virtualMs / 60_000;
  const rows: [string, string][] = [
    ['seeds', `${totals.seeds}, of which ${totals.failed} failed and ${totals.splits} had a split`],
    ['profiles', list(totals.profiles)],
    ['transactions', `${totals.transactions}, ${totals.reruns} reruns`],
    ['operations', `${totals.acknowledged} acknowledged, ${totals.refused} refused, ${totals.uncertain} uncertain`],
    ['refusals', list(totals.errors)],
    ['messages', String(totals.messages)],
    ['faults', list(totals.faults)],
    ['processes started', String(totals.starts)],
    ['connections of islands', String(totals.healed)],
    ['conflicts in the ledger', String(totals.conflicts)],
    ['checked', list(totals.checked)],
    ['events', String(totals.events)],
    ['virtual minutes', virtualMinutes.toFixed(1)],
    ['in each of them', density(totals, virtualMinutes)],
    ['CPU seconds', totals.cpuSeconds.toFixed(1)],
    ['virtual minutes per CPU second', (virtualMinutes / Math.max(0.001, totals.cpuSeconds)).toFixed(2)],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, text]) => `${name.padEnd(width)}  ${text}`).join('\n');
}

/** How much there is to simulate in a virtual minute: without it the speed says little. */
function density(totals: Totals, virtualMinutes: number): string {
  const faults = Object.values(totals.faults).reduce((sum, count) => sum + count, 0);
  const each = (count: number): string => (count / Math.max(0.001, virtualMinutes)).toFixed(1);
  const operations = totals.acknowledged + totals.refused + totals.uncertain;
  return `${each(operations)} operations, ${each(faults)} faults, ${each(totals.messages)} messages, ${each(totals.events)} events`;
}

function list(counts: Readonly<Record<string, number>>): string {
  const sorted = Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.length === 0 ? 'none' : sorted.map(([name, count]) => `${name} ${count}`).join(', ');
}
