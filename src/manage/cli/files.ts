// Files that a command reads and writes: keys for their owner alone, and nothing written over.

import { randomBytes } from 'node:crypto';
import {
  constants,
  copyFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { Exit, Fault, usage } from './fault.js';

/** Private keys and tokens. */
export const SECRET_MODE = 0o600;
const PUBLIC_MODE = 0o644;
/** Certificates, requests and bundles are kilobytes; a revocation list of a million serials is 40 MB. */
export const MAX_INPUT_BYTES = 64 * 2 ** 20;
/** A password or a token is a line. */
const MAX_SECRET_BYTES = 4_096;

/** `-` is standard input. */
export function readInput(file: string, most = MAX_INPUT_BYTES): Buffer {
  try {
    const from = file === '-' ? 0 : file;
    if (from !== 0 && statSync(from).size > most) throw usage(`${file} is larger than ${Math.ceil(most / 1024)} KiB`);
    const bytes = readFileSync(from);
    if (bytes.length > most) throw usage(`${file} is larger than ${Math.ceil(most / 1024)} KiB`);
    return bytes;
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw usage(`${file} cannot be read: ${reasonOf(error)}`);
  }
}

/** The first line of a file, without its end. */
export function readSecret(file: string): string {
  const text = readInput(file, MAX_SECRET_BYTES).toString('utf8');
  const first = text.split(/\r?\n/, 1)[0] ?? '';
  if (first === '') throw usage(`${file} is empty`);
  return first;
}

/** What others may read is no secret any more. */
export function mustBePrivate(file: string): void {
  const { mode } = statSync(file);
  if (mode & 0o077) throw usage(`${file} can be read by others`, `chmod 600 ${file}`);
}

/** Before anything is made that is answered only once: every file could be written. */
export function mustBeFree(files: readonly string[], force: boolean | undefined): void {
  for (const file of files) {
    const there = lstatSync(file, { throwIfNoEntry: false });
    if (there?.isDirectory()) throw usage(`${file} is a folder`);
    if (there && !force) throw usage(`${file} is there already`, 'with `--force` it is replaced');
  }
}

export interface Written {
  file: string;
  content: string | Uint8Array;
  kind: 'secret' | 'public';
}

/** Whole or not at all. Without `force` never over a file, nor through a link. */
export function write(file: string, content: Written['content'], kind: Written['kind'], force?: boolean): void {
  writeTogether([{ file, content, kind }], force);
}

/** Files that are nothing without each other: all are on the disk before the first takes its name. */
export function writeTogether(files: readonly Written[], force?: boolean): void {
  const staged: [fresh: string, file: string][] = [];
  let current = '';
  try {
    for (const { file, content, kind } of files) {
      current = file;
      const fresh = `${file}.${randomBytes(6).toString('hex')}`;
      staged.push([fresh, file]);
      writeFileSync(fresh, content, { mode: kind === 'secret' ? SECRET_MODE : PUBLIC_MODE, flag: 'wx', flush: true });
    }
    for (const [fresh, file] of staged) {
      current = file;
      if (force) renameSync(fresh, file);
      else name(fresh, file);
    }
  } catch (error) {
    throw new Fault(`${current} cannot be written: ${reasonOf(error)}`, Exit.Failed);
  } finally {
    for (const [fresh] of staged) rmSync(fresh, { force: true });
  }
}

/** A file's name, which nobody has: a link fails where a renaming would replace. */
function name(fresh: string, file: string): void {
  try {
    linkSync(fresh, file);
  } catch (error) {
    // File systems without links, such as FAT.
    if (!['EPERM', 'ENOTSUP', 'ENOSYS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    copyFileSync(fresh, file, constants.COPYFILE_EXCL);
  }
}

/** A folder for keys: made for its owner alone when it is not there. */
export function folder(path: string): string {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  } catch (error) {
    throw usage(`the folder ${path} cannot be made: ${reasonOf(error)}`);
  }
}

export function folderOf(file: string): string {
  return folder(dirname(file));
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'it is not permitted',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of its path is a file',
  EEXIST: 'it is there already; with `--force` it is replaced',
  ENOSPC: 'the disk is full',
};

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return REASONS[code ?? ''] ?? message;
}
