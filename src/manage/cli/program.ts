// All commands as one tree: from it come the parser, `--help`, completion and docs/cli.md.

import { Command, CommanderError, Help } from 'commander';
import type { Lookups } from '../../config/load.js';
import { addAudit } from './audit.js';
import { addCheck, type Compile } from './check.js';
import { addCompletion } from './completion.js';
import { addExamples } from './examples.js';
import { addExplain, type Explaining } from './explain.js';
import { Exit, Fault } from './fault.js';
import { addJwt } from './jwt.js';
import { addKeys } from './keys.js';
import { addLimits } from './limits.js';
import { addLogin } from './login.js';
import { addMtls } from './mtls.js';
import { addPartner } from './partner.js';
import { addPki } from './pki.js';
import { GROUP } from './reach.js';
import { addRun, type Processes } from './run.js';
import { addSchema } from './schema.js';
import { systemTerminal, type Terminal } from './terminal.js';
import { addToken } from './token.js';
import { addUpgrade } from './upgrade.js';
import { addVersion } from './version.js';

/** What src/main.ts hands over: the native door is opened only by the commands that need it. */
export interface Parts {
  version: string;
  processes: Processes;
  compile: () => Promise<Compile>;
  explain: () => Promise<Explaining>;
  /** native/pki: JSON in and out. */
  pki: () => Promise<(command: string) => Promise<string>>;
  lookups: Lookups;
  terminal: Terminal;
}

export function makeProgram(parts: Parts): Command {
  const { version, processes, compile, explain, lookups, terminal } = parts;
  const program = new Command('portcullis')
    .description('An API shield that teams run themselves.')
    .version(version, '-V, --version')
    .exitOverride()
    .configureHelp({ groupItems: ownFirst })
    .configureOutput({
      writeOut: text => terminal.output.write(text),
      writeErr: text => terminal.error.write(text),
      getOutHelpWidth: () => widthOf(terminal.output),
      getErrHelpWidth: () => widthOf(terminal.error),
    });
  addRun(program, processes);
  addUpgrade(program, terminal);
  addCheck(program, compile, lookups);
  addExplain(program, explain, lookups);
  addPki(program, parts);
  addMtls(program, terminal);
  addJwt(program, terminal);
  addKeys(program, terminal);
  addPartner(program, terminal);
  addLimits(program, terminal);
  addToken(program, terminal, lookups);
  addAudit(program, terminal);
  addLogin(program, terminal);
  addSchema(program);
  addCompletion(program, terminal);
  addVersion(program, version);
  addExamples(program);
  return program;
}

/** What is a command's own stands above what all have in common. */
const ownFirst: Help['groupItems'] = (unsorted, visible, groupOf) => {
  const groups = new Help().groupItems(unsorted, visible, groupOf);
  return new Map([...groups].sort(([a], [b]) => Number(a === GROUP) - Number(b === GROUP)));
};

/** Where no terminal says how wide it is. */
const HELP_WIDTH = 100;

function widthOf(stream: Terminal['output']): number {
  return (stream.isTTY && stream.columns) || HELP_WIDTH;
}

/** The tree alone, of which no command can be run: for docs/cli.md. */
export function bareProgram(): Command {
  const absent = () => Promise.reject(new Error('this tree only describes commands'));
  return makeProgram({
    version: '0.0.0',
    processes: { supervise: absent, serve: absent },
    compile: absent,
    explain: absent,
    pki: absent,
    lookups: { env: {}, resolve: absent },
    terminal: systemTerminal(),
  });
}

/** Parses and acts; answers the exit code, or null when the command has set it itself. Tells what went wrong. */
export async function runProgram(program: Command, args: readonly string[], terminal: Terminal): Promise<Exit | null> {
  try {
    await program.parseAsync(args, { from: 'user' });
    return null;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? Exit.Ok : Exit.Usage;
    const told = error instanceof Fault ? error.told() : `portcullis: ${(error as Error).message}`;
    terminal.error.write(`${told}\n`);
    return error instanceof Fault ? error.exit : Exit.Usage;
  }
}
