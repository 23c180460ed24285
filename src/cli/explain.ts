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
  unauthorized: {
    what: 'A peer wants to know who asks.',
    why: 'No session was given, or it has ended.',
    remedy: 'Log in again.',
  },
  wrong_password: {
    what: 'A peer refused the user or the password.',
    why: 'One of them is wrong.',
    remedy: 'Check them; for a lab, `peerage lab down` and `peerage lab up --new-password` make a new one.',
  },
  too_many_attempts: {
    what: 'A peer takes no more log-ins for a while.',
    why: 'Too many wrong passwords were tried.',
    remedy: 'Wait as long as the answer says.',
  },
  too_many_subscribers: {
    what: 'A peer takes no more live feeds.',
    why: 'As many pages as it allows are open on it.',
    remedy: 'Close some of them.',
  },
  foreign_origin: {
    what: 'A peer refused a request of a browser.',
    why: 'It came from the page of another site.',
    remedy: "Use the peer's own page.",
  },
  lab_token_needed: {
    what: 'A peer refused a fault or a load.',
    why: 'These are only for whoever holds the token of its lab.',
    remedy: 'Use the commands below `peerage lab`; they read the token from the directory of the lab.',
  },
  load_running: {
    what: 'A load was not started.',
    why: 'One is running at that peer already.',
    remedy: 'Wait for its end.',
  },
  not_found: {
    what: 'A peer has nothing at that address.',
    why: 'The path is wrong, or belongs to another version or to lab peers only.',
    remedy: 'Check the path.',
  },
  not_json: {
    what: 'A peer did not read a request.',
    why: 'Its body is not declared as JSON.',
    remedy: 'Send it with the content type application/json.',
  },
  too_large: {
    what: 'A peer did not read a request.',
    why: 'It is longer than the limit the message names.',
    remedy: 'Send less at once.',
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
