/** `peerage explain CODE`: what an error code or alarm id means, why it comes, what to do. */

import { alarmCatalogue } from '../../actors/diagnostics/alarm-catalogue.ts';
import { CliError, cliErrors, type Explanation } from './errors.ts';
import { exitCodes } from './exit-codes.ts';
import { databaseErrors } from './explain-database.ts';
import { formatTable, printJson } from './table.ts';
import type { Terminal } from './terminal.ts';

/** Refusals of a peer's API that are neither of the database nor of the command line. */
const apiErrors: Readonly<Record<string, Explanation>> = {
  bad_request: {
    what: 'A peer did not understand a request.',
    why: 'A field is missing, unknown or out of its range; the message names it.',
    remedy: 'Correct that field; use the command line of the same version as the peer.',
  },
  change_refused: {
    what: 'A change of the configuration was refused; nothing was changed.',
    why: 'It would break a rule of clusters; the message names it.',
    remedy: 'Do what the message asks first, then change it again.',
  },
};

export interface Explained extends Explanation {
  readonly code: string;
  readonly kind: 'command line' | 'database' | 'peer' | 'alarm';
}

export function allExplanations(): Explained[] {
  const of = (kind: Explained['kind'], table: Readonly<Record<string, Explanation>>) =>
    Object.entries(table).map(([code, { what, why, remedy }]) => ({ code, kind, what, why, remedy }));
  return [
    ...of('command line', cliErrors),
    ...of('database', databaseErrors),
    ...of('peer', apiErrors),
    ...alarmCatalogue.map((alarm) => ({
      code: String(alarm.id),
      kind: 'alarm' as const,
      what: `${alarm.title} (${alarm.severity})`,
      why: alarm.description,
      remedy: alarm.remedy,
    })),
  ];
}

/** By code, alarm id or alarm uuid; letter case, `-` and `_` mean nothing. */
export function explain(asked: string): Explained[] {
  const plain = (text: string) => text.trim().toLowerCase().replaceAll('-', '_');
  const byUuid = alarmCatalogue.find((alarm) => plain(alarm.uuid) === plain(asked));
  const wanted = byUuid === undefined ? plain(asked) : String(byUuid.id);
  return allExplanations().filter((each) => plain(each.code) === wanted);
}

export function runExplain(asked: string | undefined, json: boolean, terminal: Terminal): number {
  if (asked === undefined) {
    const all = allExplanations();
    if (json) terminal.out(printJson(all));
    else {
      const columns = [{ title: 'CODE' }, { title: 'KIND' }, { title: 'MEANING' }];
      for (const line of formatTable(
        columns,
        all.map((each) => [each.code, each.kind, each.what]),
      ))
        terminal.out(line);
    }
    return exitCodes.ok;
  }
  const found = explain(asked);
  if (found.length === 0) {
    throw new CliError(
      'unknown_code',
      `Nothing is known about "${asked}"`,
      'it is neither an error code nor the id of an alarm of this version',
      '`peerage explain` without an argument lists them all',
    );
  }
  if (json) terminal.out(printJson(found));
  else {
    const texts = found.map(({ code, kind, what, why, remedy }) =>
      [`${code} (${kind})`, `  what        ${what}`, `  why         ${why}`, `  what to do  ${remedy}`].join('\n'),
    );
    terminal.out(texts.join('\n\n'));
  }
  return exitCodes.ok;
}
