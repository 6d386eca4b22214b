// Completion for shells, out of the commands themselves: what `--help` knows is completed, and nothing is kept twice.

import { type Argument, type Command, type Option, Argument as Positional } from 'commander';
import type { Terminal } from './terminal.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

export function addCompletion(program: Command, terminal: Terminal): void {
  program
    .command('completion')
    .description('print a script that completes commands and options in a shell')
    .addArgument(new Positional('<shell>', 'which shell').choices(SHELLS))
    .action((shell: Shell) => {
      terminal.output.write(SCRIPTS[shell](described(program)));
    });
}

interface Described {
  /** Words after the program's name, joined with a space; empty for the program itself. */
  path: string;
  summary: string;
  commands: { name: string; summary: string }[];
  options: { flags: string[]; summary: string; takes: Takes }[];
  takes: Takes;
}

/** What may stand behind an option, or as an argument. */
type Takes = 'nothing' | 'anything' | 'files' | readonly string[];

export function described(program: Command): Described[] {
  const help = program.createHelp();
  const walk = (command: Command, path: string): Described[] => {
    const commands = help.visibleCommands(command);
    const below = commands.map(one => ({ name: one.name(), summary: one.description() }));
    return [
      {
        path,
        summary: command.description(),
        commands: below,
        options: help.visibleOptions(command).map(option => ({
          flags: [option.short, option.long].filter(flag => flag !== undefined && flag !== null),
          summary: option.description,
          takes: takesOf(option),
        })),
        takes: takesOfAll(command.registeredArguments),
      },
      ...commands
        .filter(one => one.name() !== 'help')
        .flatMap(one => walk(one, [path, one.name()].filter(Boolean).join(' '))),
    ];
  };
  return walk(program, '');
}

function takesOf({ flags, required, optional, argChoices }: Option): Takes {
  if (!required && !optional) return 'nothing';
  if (argChoices) return argChoices;
  return /[<[](file|folder)/.test(flags) ? 'files' : 'anything';
}

function takesOfAll(all: readonly Argument[]): Takes {
  const [first] = all;
  if (!first) return 'nothing';
  if (first.argChoices) return first.argChoices;
  return /file|request/.test(first.name()) ? 'files' : 'anything';
}

const SCRIPTS: Record<Shell, (commands: readonly Described[]) => string> = { bash, zsh, fish };

/** Walks the words before the cursor down the commands, skipping what belongs to options. bash 4 and later. */
function bash(commands: readonly Described[]): string {
  return `# Completion of portcullis for bash: source <(portcullis completion bash)
_portcullis() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} path='' at
  COMPREPLY=()
  for ((at = 1; at < COMP_CWORD; at++)); do
    if _portcullis_takes "$path" "\${COMP_WORDS[at]}"; then ((at++)); continue; fi
    case "$path \${COMP_WORDS[at]}" in
${commands
  .filter(({ path }) => path !== '')
  .map(({ path }) => `      ${quoted(inside(path))}) path=${quoted(inside(path))} ;;`)
  .join('\n')}
    esac
  done
  if _portcullis_takes "$path" "$before"; then
    case "$path $before" in
${commands.flatMap(bashValues).join('\n')}
    esac
    return
  fi
  case "$path" in
${commands.map(bashWords).join('\n')}
  esac
}
_portcullis_takes() {
  case "$1 $2" in
${commands.flatMap(bashTakers).join('\n')}
    *) return 1 ;;
  esac
}
_portcullis_offer() {
  local one
  for one in "$@"; do
    [[ $one == "$word"* ]] && COMPREPLY+=("$(printf %q "$one")")
  done
}
_portcullis_files() {
  # A folder gets its slash; outside of a completion, as in tests, there is nothing to set.
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -f -- "$word")
}
complete -F _portcullis portcullis
`;
}

/** As the walk sees it: a space before each word. */
function inside(path: string): string {
  return path === '' ? '' : ` ${path}`;
}

function bashTakers({ path, options }: Described): string[] {
  const flags = options.filter(({ takes }) => takes !== 'nothing').flatMap(({ flags }) => flags);
  return flags.length === 0
    ? []
    : [`    ${flags.map(flag => quoted(`${inside(path)} ${flag}`)).join('|')}) return 0 ;;`];
}

function bashValues({ path, options }: Described): string[] {
  return options
    .filter(({ takes }) => takes !== 'nothing' && takes !== 'anything')
    .map(({ flags, takes }) => {
      const patterns = flags.map(flag => quoted(`${inside(path)} ${flag}`)).join('|');
      return `      ${patterns}) ${bashReply(takes)} ;;`;
    });
}

function bashWords({ path, commands, options, takes }: Described): string {
  const flags = options.flatMap(({ flags }) => flags);
  const words = commands.map(({ name }) => name);
  const plain = words.length > 0 ? bashReply(words) : bashReply(takes);
  const choice = `if [[ $word == -* ]]; then ${bashReply(flags)}; else ${plain}; fi`;
  return `    ${quoted(inside(path))}) ${choice} ;;`;
}

function bashReply(takes: Takes): string {
  if (takes === 'files') return '_portcullis_files';
  if (takes === 'nothing' || takes === 'anything') return ':';
  return `_portcullis_offer ${takes.map(quoted).join(' ')}`;
}

/** zsh reads bash's completions through its own bridge. */
function zsh(commands: readonly Described[]): string {
  return `#compdef portcullis
# Completion of portcullis for zsh: portcullis completion zsh > "\${fpath[1]}/_portcullis"
_portcullis() {
  local -a found
  local path_='' at
  for ((at = 2; at < CURRENT; at++)); do
    if _portcullis_takes "$path_" "\${words[at]}"; then ((at++)); continue; fi
    case "$path_ \${words[at]}" in
${commands
  .filter(({ path }) => path !== '')
  .map(({ path }) => `      ${quoted(inside(path))}) path_=${quoted(inside(path))} ;;`)
  .join('\n')}
    esac
  done
  if _portcullis_takes "$path_" "\${words[CURRENT-1]}"; then
    case "$path_ \${words[CURRENT-1]}" in
${commands.flatMap(zshValues).join('\n')}
    esac
    return
  fi
  case "$path_" in
${commands.map(zshWords).join('\n')}
  esac
}
_portcullis_takes() {
  case "$1 $2" in
${commands.flatMap(bashTakers).join('\n')}
    *) return 1 ;;
  esac
}
if [[ "\${funcstack[1]}" == _portcullis ]]; then _portcullis "$@"; else compdef _portcullis portcullis; fi
`;
}

function zshValues({ path, options }: Described): string[] {
  return options
    .filter(({ takes }) => takes !== 'nothing' && takes !== 'anything')
    .map(({ flags, takes }) => {
      const patterns = flags.map(flag => quoted(`${inside(path)} ${flag}`)).join('|');
      return `      ${patterns}) ${takes === 'files' ? '_files' : `compadd -- ${(takes as string[]).map(quoted).join(' ')}`} ;;`;
    });
}

function zshWords({ path, commands, options, takes }: Described): string {
  const pair = (name: string, summary: string) => quoted(`${name.replaceAll(':', '\\:')}:${summary}`);
  const flags = options.flatMap(({ flags, summary }) => flags.map(flag => pair(flag, summary))).join(' ');
  const words = commands.map(({ name, summary }) => pair(name, summary)).join(' ');
  const describe = (list: string, what: string) => `found=(${list}); _describe ${what} found`;
  const plain = words
    ? describe(words, 'command')
    : takes === 'files'
      ? '_files'
      : typeof takes === 'string'
        ? ':'
        : `compadd -- ${takes.map(quoted).join(' ')}`;
  return `    ${quoted(inside(path))}) if [[ $PREFIX == -* ]]; then ${describe(flags, 'option')}; else ${plain}; fi ;;`;
}

function fish(commands: readonly Described[]): string {
  const lines = commands.flatMap(({ path, commands: below, options, takes }) => {
    const here = `complete -c portcullis -n ${quoted(`test (__portcullis_path) = ${fishQuoted(path)}`)}`;
    return [
      ...below.map(({ name, summary }) => `${here} -f -a ${quoted(name)} -d ${quoted(summary)}`),
      ...options.map(option => `${here} ${fishOption(option)}`),
      ...(below.length > 0 || takes === 'files'
        ? []
        : [`${here} -f${Array.isArray(takes) ? ` -a ${quoted(takes.map(fishWord).join(' '))}` : ''}`]),
    ];
  });
  const takers = commands.flatMap(({ path, options }) =>
    options
      .filter(({ takes }) => takes !== 'nothing')
      .flatMap(({ flags }) => flags.map(flag => quoted(`${path} ${flag}`))),
  );
  return `# Completion of portcullis for fish: portcullis completion fish | source
function __portcullis_path
  set -l path ''
  set -l skip 0
  for word in (commandline -opc)[2..]
    if test $skip = 1
      set skip 0
      continue
    end
    if contains -- "$path $word" ${takers.join(' ')}
      set skip 1
      continue
    end
    set -l longer (string trim -- "$path $word")
    if contains -- "$longer" ${commands
      .filter(({ path }) => path !== '')
      .map(({ path }) => quoted(path))
      .join(' ')}
      set path "$longer"
    end
  end
  printf '%s\\n' "$path"
end
${lines.join('\n')}
`;
}

function fishOption({ flags, summary, takes }: Described['options'][number]): string {
  const names = flags.map(flag => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
  const value =
    takes === 'nothing'
      ? '-f'
      : takes === 'files'
        ? '-r -F'
        : takes === 'anything'
          ? '-x'
          : `-x -a ${quoted(takes.map(fishWord).join(' '))}`;
  return `${names.join(' ')} ${value} -d ${quoted(summary)}`;
}

/** One word of a list that fish splits at spaces. */
function fishWord(text: string): string {
  return text.replaceAll(' ', '\\ ');
}

function fishQuoted(text: string): string {
  return `"${text}"`;
}

/** For a shell: as it stands. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
