/**
 * Completion scripts for shells, written from the command tree itself, so that they never lag behind it. They hold all
 * words: a press of the tab key starts no process.
 */

import type { Command } from 'commander';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

export interface CompletionNode {
  /** Words after `peerage` that lead here: `lab cut`. */
  readonly path: string;
  readonly commands: ReadonlyArray<{ readonly name: string; readonly description: string }>;
  readonly options: ReadonlyArray<{ readonly flag: string; readonly description: string }>;
  /** Fixed words an argument may be, such as the names of shells. */
  readonly words: readonly string[];
}

export function completionNodes(command: Command, path: readonly string[] = []): CompletionNode[] {
  const options = command.options.flatMap((option) =>
    [option.long, option.short].flatMap((flag) => (flag == null ? [] : [{ flag, description: option.description }])),
  );
  const node: CompletionNode = {
    path: path.join(' '),
    commands: command.commands.map((each) => ({ name: each.name(), description: each.description() })),
    options: [...options, { flag: '--help', description: 'show what this command does' }],
    words: command.registeredArguments.flatMap((argument) => argument.argChoices ?? []),
  };
  return [node, ...command.commands.flatMap((each) => completionNodes(each, [...path, each.name()]))];
}

function wordsOf(node: CompletionNode): string[] {
  return [...node.commands.map((each) => each.name), ...node.words, ...node.options.map((each) => each.flag)];
}

/** For between single quotes, in every one of the three shells. */
function quoted(text: string): string {
  return text.replaceAll("'", '’');
}

function bashScript(nodes: readonly CompletionNode[]): string {
  const cases = nodes.map((node) => `    '${node.path}') words='${quoted(wordsOf(node).join(' '))}' ;;`);
  const paths = nodes.filter((node) => node.path !== '').map((node) => `'${node.path}'`);
  return `# peerage completion for bash: source <(npx peerage completion bash); peerage() { npx peerage "$@"; }
_peerage() {
  local path='' word words='' try
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    try="\${path:+$path }$word"
    case "$try" in
      ${paths.join('|')}) path="$try" ;;
    esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _peerage peerage
`;
}

function zshScript(nodes: readonly CompletionNode[]): string {
  const described = (name: string, description: string) => `'${name}:${quoted(description.replaceAll(':', ' –'))}'`;
  const cases = nodes.map((node) => {
    const entries = [
      ...node.commands.map((each) => described(each.name, each.description)),
      ...node.words.map((word) => `'${word}'`),
      ...node.options.map((each) => described(each.flag, each.description)),
    ];
    return `    '${node.path}') entries=(${entries.join(' ')}) ;;`;
  });
  const paths = nodes.filter((node) => node.path !== '').map((node) => `'${node.path}'`);
  return `#compdef peerage
# peerage completion for zsh: source <(npx peerage completion zsh); peerage() { npx peerage "$@"; }
_peerage() {
  local path_so_far='' word try
  local -a entries
  for word in "\${(@)words[2,CURRENT-1]}"; do
    try="\${path_so_far:+$path_so_far }$word"
    case "$try" in
      ${paths.join('|')}) path_so_far="$try" ;;
    esac
  done
  case "$path_so_far" in
${cases.join('\n')}
  esac
  _describe 'peerage' entries
  _files
}
compdef _peerage peerage
`;
}

function fishScript(nodes: readonly CompletionNode[]): string {
  const lines = nodes.flatMap((node) => {
    const condition = `-n '__peerage_at "${node.path}"'`;
    return [
      ...node.commands.map(
        (each) => `complete -c peerage ${condition} -f -a '${each.name}' -d '${quoted(each.description)}'`,
      ),
      ...node.words.map((word) => `complete -c peerage ${condition} -f -a '${word}'`),
      ...node.options.map((each) => {
        const flag = each.flag.startsWith('--') ? `-l ${each.flag.slice(2)}` : `-s ${each.flag.slice(1)}`;
        return `complete -c peerage ${condition} ${flag} -d '${quoted(each.description)}'`;
      }),
    ];
  });
  const paths = nodes.filter((node) => node.path !== '').map((node) => `'${node.path}'`);
  return `# peerage completion for fish: npx peerage completion fish | source; function peerage; npx peerage $argv; end
function __peerage_at
  set -l path_so_far ''
  for word in (commandline -opc)[2..]
    set -l try (string trim -- "$path_so_far $word")
    if contains -- "$try" ${paths.join(' ')}
      set path_so_far $try
    end
  end
  test "$path_so_far" = "$argv[1]"
end
${lines.join('\n')}
`;
}

export function completionScript(program: Command, shell: Shell): string {
  const nodes = completionNodes(program);
  return { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](nodes);
}
