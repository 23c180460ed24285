/**
 * One line of `xConfiguration`, `xStatus` or `xCommand`, executed on a peer. Letter case means nothing (E122), `?` asks
 * for help. Pure but for the calls on the peer it is given.
 */
import { StorageError } from '../../storage/errors.ts';
import { ChangeRefused } from '../peer/changes.ts';
import { nearestName } from '../peer/nearest.ts';
import type { ChangeSource } from '../peer/peer-handle.ts';
import { CONFIGURATION_ITEMS, type ConfigurationItem } from './x-command-items.ts';
import { parseLine, type Token } from './x-command-line.ts';
import { type CommandPeer, type CommandResult, notUnderstood } from './x-command-result.ts';
import { runCommand } from './x-command-set.ts';
import { STATUS_ELEMENTS, statusLines, valueText } from './x-command-status.ts';

const ok = (lines: readonly string[]): CommandResult => ({ lines: [...lines, 'OK'], code: 0 });
const same = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();

export type { CommandPeer, CommandResult } from './x-command-result.ts';

const ROOTS = ['xConfiguration', 'xStatus', 'xCommand'] as const;

export async function executeCommand(line: string, peer: CommandPeer, source: ChangeSource): Promise<CommandResult> {
  const parsed = parseLine(line);
  if ('problem' in parsed) return notUnderstood(parsed.problem, 'See xCommand ?');
  const [first, ...rest] = parsed.tokens;
  if (first === undefined || same(first.text, '?') || same(first.text, 'help')) return ok(rootHelp());
  const root = ROOTS.find((name) => same(name, first.text));
  if (root === undefined || first.quoted) {
    const nearest = nearestName(first.text, ROOTS);
    return notUnderstood(
      `There is no command "${first.text.slice(0, 40)}"`,
      nearest === undefined ? `Known: ${ROOTS.join(', ')}.` : `Did you mean ${nearest}?`,
    );
  }
  try {
    if (root === 'xStatus') return status(rest, peer);
    if (root === 'xCommand') return await runCommand(rest, peer, source);
    return await configuration(rest, peer, source);
  } catch (error) {
    return refusal(error);
  }
}

function refusal(error: unknown): CommandResult {
  if (error instanceof ChangeRefused) return { lines: [`ERROR: ${error.message}`], code: 1 };
  if (error instanceof StorageError) {
    return { lines: [`ERROR: The database refused (${error.code}): ${error.message}`], code: 1 };
  }
  throw error;
}

function rootHelp(): string[] {
  return [
    'xConfiguration ?   show and set configuration',
    'xStatus ?          show the state of this peer',
    'xCommand ?         do something once',
  ];
}

// xStatus

function status(tokens: readonly Token[], peer: CommandPeer): CommandResult {
  const [element, extra] = tokens;
  if (element?.text === '?') return ok(STATUS_ELEMENTS.map((name) => `xStatus ${name}`));
  const known = element === undefined ? undefined : STATUS_ELEMENTS.find((name) => same(name, element.text));
  if (element !== undefined && known === undefined) {
    const nearest = nearestName(element.text, STATUS_ELEMENTS);
    return notUnderstood(
      `xStatus has no element "${element.text.slice(0, 40)}"`,
      nearest === undefined ? `Known: ${STATUS_ELEMENTS.join(', ')}.` : `Did you mean xStatus ${nearest}?`,
    );
  }
  if (extra !== undefined && extra.text !== '?') {
    return notUnderstood(`xStatus ${known} has no part "${extra.text.slice(0, 40)}"`, `Ask for xStatus ${known}.`);
  }
  const now = peer.status();
  const elements = known === undefined ? STATUS_ELEMENTS : [known];
  return ok(elements.flatMap((name) => statusLines(name, now)));
}

// xConfiguration

const ALTERNATES_CONFIGURATION = 'alternatesConfiguration';

function itemLine(item: ConfigurationItem, peer: CommandPeer): string {
  return `*c xConfiguration ${item.path.join(' ')}: ${valueText(item.read(peer.configuration()))}`;
}

function helpLine(item: ConfigurationItem): string {
  return `xConfiguration ${item.path.join(' ')}: ${item.space}${item.peerSpecific ? ' †' : ''}  ${item.help}`;
}

/** Rows of the table are shown as they are: one line each, in the order of their keys. */
function alternatesLines(peer: CommandPeer): string[] {
  const rows = [...peer.alternatesConfiguration()];
  const lines = rows.flatMap(({ key, value }) => flatten([ALTERNATES_CONFIGURATION, String(key)], value));
  return lines.map(([path, text]) => `*c xConfiguration ${path.join(' ')}: ${text}`);
}

function flatten(path: readonly string[], value: unknown): (readonly [readonly string[], string])[] {
  if (typeof value === 'object' && value !== null && !(value instanceof Uint8Array)) {
    return Object.entries(value).flatMap(([name, inner]) => flatten([...path, name], inner));
  }
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
    return [[path, valueText(value)]];
  }
  return [];
}

interface Split {
  readonly path: readonly string[];
  readonly value: string | undefined;
  readonly help: boolean;
}

/** Path words, then `: value`. The colon may hang on the last word or stand by itself. */
function splitValue(tokens: readonly Token[]): Split | string {
  const last = tokens.at(-1);
  const help = last !== undefined && !last.quoted && /^\?{1,2}$/.test(last.text);
  const words = help ? tokens.slice(0, -1) : tokens;
  const colon = words.findIndex((token) => token.colon);
  const pathTokens = colon < 0 ? words : words.slice(0, colon + 1);
  const path = pathTokens.map((token) => token.text).filter((text) => text !== '');
  if (colon < 0) return { path, value: undefined, help };
  const values = words.slice(colon + 1);
  if (values.length === 0) return 'a colon is followed by no value; write "" for an empty one';
  if (values.length > 1) return 'a value with spaces must stand in double quotes';
  return { path, value: values[0]!.text, help };
}

async function configuration(
  tokens: readonly Token[],
  peer: CommandPeer,
  source: ChangeSource,
): Promise<CommandResult> {
  const split = splitValue(tokens);
  if (typeof split === 'string') return notUnderstood(split[0]!.toUpperCase() + split.slice(1), 'See xConfiguration ?');
  const { path, value, help } = split;
  const matches = CONFIGURATION_ITEMS.filter((item) => path.every((word, at) => same(word, item.path[at] ?? '')));
  const alternates = path.length === 0 || (path.length === 1 && same(path[0]!, ALTERNATES_CONFIGURATION));
  if (matches.length === 0 && !alternates) return noSuchItem(path);
  if (help) return ok(helpLines(matches, alternates));
  if (value === undefined) {
    const lines = matches.map((item) => itemLine(item, peer));
    if (alternates) lines.push(...alternatesLines(peer));
    return ok([...lines, '*c/end']);
  }
  const item = matches.find((candidate) => candidate.path.length === path.length);
  if (item === undefined) {
    if (matches.length === 0) {
      return notUnderstood(
        `${ALTERNATES_CONFIGURATION} is written by the peer itself`,
        'Set xConfiguration Alternates … .',
      );
    }
    return notUnderstood(`"${path.join(' ')}" names ${matches.length} items`, `See xConfiguration ${path.join(' ')} ?`);
  }
  const parsed = item.parse(value);
  if ('problem' in parsed) {
    const { problem } = parsed;
    return notUnderstood(
      `"${value.slice(0, 40)}" is no value of ${item.path.join(' ')}: ${problem}`,
      `Allowed: ${item.space}.`,
    );
  }
  await peer.change(parsed.change, source);
  return ok([]);
}

function helpLines(matches: readonly ConfigurationItem[], alternates: boolean): string[] {
  const lines = matches.map(helpLine);
  if (alternates)
    lines.push(`xConfiguration ${ALTERNATES_CONFIGURATION}  the peers as this system resolved them; read only`);
  if (matches.some((item) => item.peerSpecific)) lines.push('† set on each peer; not replicated');
  return lines;
}

function noSuchItem(path: readonly string[]): CommandResult {
  const known = [...CONFIGURATION_ITEMS.map((item) => item.path.join(' ')), ALTERNATES_CONFIGURATION];
  const asked = path.join(' ').slice(0, 80);
  const nearest =
    nearestName(asked, known) ?? nearestName(path[0]!, [...new Set(known.map((name) => name.split(' ')[0]!))]);
  return notUnderstood(
    `There is no configuration item "${asked}"`,
    nearest === undefined ? 'See xConfiguration ?' : `Did you mean xConfiguration ${nearest}?`,
  );
}
