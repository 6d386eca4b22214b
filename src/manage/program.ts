// Which program the supervisor starts: by the names that it was started by itself, looked up anew each time, so that a
// link that was pointed at another version meanwhile, of this program or of Node.js, leads there.

import { existsSync, realpathSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';

export interface Program {
  execPath(): string;
  script: string;
}

/** `script` is the file that runs, links resolved. */
export function findProgram(script: string, { argv, argv0, execPath, env } = process as Started): Program {
  const named = argv[1] === undefined ? script : resolve(argv[1]);
  const node = named0(argv0, env.PATH ?? '');
  return {
    // Where the names lead somewhere else today, they are not the ones it was started by.
    execPath: node !== null && leadsTo(node, execPath) ? () => (existsSync(node) ? node : execPath) : () => execPath,
    script: leadsTo(named, script) ? named : script,
  };
}

type Started = Pick<NodeJS.Process, 'argv' | 'argv0' | 'execPath' | 'env'>;

/** The first argument of a process is a path, or a name that was found in one of the folders of PATH. */
function named0(argv0: string, path: string): string | null {
  if (argv0.includes('/')) return resolve(argv0);
  const found = path.split(delimiter).find(folder => folder !== '' && existsSync(join(folder, argv0)));
  return found === undefined ? null : resolve(found, argv0);
}

function leadsTo(path: string, file: string): boolean {
  try {
    return realpathSync(path) === realpathSync(file);
  } catch {
    return false;
  }
}
