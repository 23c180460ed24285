/** `xCommand`: things done once, with named parameters: `xCommand ClusterAddressMappingAdd Fqdn: "…" IpAddress: "…"`. */
import { nearestName } from '../peer/nearest.ts';
import type { ChangeSource } from '../peer/peer-handle.ts';
import type { Token } from './x-command-line.ts';
import { type CommandPeer, type CommandResult, notUnderstood } from './x-command-result.ts';

interface Command {
  readonly name: string;
  readonly parameters: readonly string[];
  readonly help: string;
  available?(peer: CommandPeer): boolean;
  run(parameters: Readonly<Record<string, string>>, peer: CommandPeer, source: ChangeSource): Promise<void>;
}

const COMMANDS: readonly Command[] = [
  {
    name: 'ClusterAddressMappingAdd',
    parameters: ['Fqdn', 'IpAddress'],
    help: 'Maps an FQDN to an IP address before DNS is asked, on all peers.',
    run: ({ Fqdn, IpAddress }, peer, source) =>
      peer.change({ item: 'addressMapping', fqdn: Fqdn!, ip: IpAddress! }, source),
  },
  {
    name: 'ClusterAddressMappingDelete',
    parameters: ['Fqdn'],
    help: 'Removes the mapping of an FQDN, on all peers.',
    run: ({ Fqdn }, peer, source) => peer.change({ item: 'addressMapping', fqdn: Fqdn!, ip: undefined }, source),
  },
  {
    name: 'ForceConfigUpdate',
    parameters: [],
    help: "Deletes this peer's configuration and takes the primary's. Not on the primary.",
    available: (peer) => peer.forceConfigUpdate !== undefined,
    run: (_, peer) => peer.forceConfigUpdate!(),
  },
  {
    name: 'ForceLoadTables',
    parameters: [],
    help: 'Loads tables that wait for another peer from this disc. What that peer has newer is merged when it is back.',
    available: (peer) => peer.forceLoadTables !== undefined,
    run: (_, peer) => peer.forceLoadTables!(),
  },
];

const same = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();

function usage(command: Command): string {
  const parameters = command.parameters.map((name) => ` ${name}(r): <S>`).join('');
  return `xCommand ${command.name}${parameters}  ${command.help}`;
}

export async function runCommand(
  tokens: readonly Token[],
  peer: CommandPeer,
  source: ChangeSource,
): Promise<CommandResult> {
  const known = COMMANDS.filter((command) => command.available?.(peer) ?? true);
  const [first, ...rest] = tokens;
  if (first === undefined || first.text === '?' || same(first.text, 'help')) {
    return { lines: [...known.map(usage), 'OK'], code: 0 };
  }
  const found = findCommand(known, tokens);
  if (found === undefined) {
    const nearest = nearestName(
      first.text,
      known.map((command) => command.name),
    );
    return notUnderstood(
      `There is no xCommand "${first.text.slice(0, 40)}"`,
      nearest === undefined ? 'See xCommand ?' : `Did you mean xCommand ${nearest}?`,
    );
  }
  if (rest.at(-1)?.text === '?') return { lines: [usage(found.command), 'OK'], code: 0 };
  const parameters = readParameters(found.command, tokens.slice(found.words));
  if (typeof parameters === 'string') return notUnderstood(parameters, `Usage: ${usage(found.command)}`);
  await found.command.run(parameters, peer, source);
  return { lines: ['OK'], code: 0 };
}

/** Names are written with or without spaces: `ForceConfigUpdate`, `Force Config Update`. */
function findCommand(
  known: readonly Command[],
  tokens: readonly Token[],
): { command: Command; words: number } | undefined {
  for (let words = Math.min(4, tokens.length); words >= 1; words -= 1) {
    const name = tokens
      .slice(0, words)
      .map((token) => token.text)
      .join('');
    const command = known.find((candidate) => same(candidate.name, name));
    if (command !== undefined) return { command, words };
  }
  return undefined;
}

function readParameters(command: Command, tokens: readonly Token[]): Readonly<Record<string, string>> | string {
  const parameters: Record<string, string> = {};
  for (let at = 0; at < tokens.length; at += 2) {
    const name = tokens[at]!;
    const value = tokens[at + 1];
    const known = command.parameters.find((candidate) => same(candidate, name.text));
    if (known === undefined) return `${command.name} has no parameter "${name.text.slice(0, 40)}"`;
    if (!name.colon || value === undefined) return `${known} has no value; write ${known}: "…"`;
    if (known in parameters) return `${known} is given twice`;
    parameters[known] = value.text;
  }
  const missing = command.parameters.filter((name) => !(name in parameters));
  return missing.length === 0 ? parameters : `${missing.join(' and ')} must be given`;
}
