// What a capability's compile.ts is given while a configuration is loaded: files to read, and a place for
// everything that is wrong. All problems are gathered; nothing stops at the first.

import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { at, child, path } from './pointer.js';
import type { Place, Problem } from './problem.js';
import type { Source } from './read.js';

/** A revocation list of a million serials takes 40 MB. */
const MAX_FILE_BYTES = 128 * 2 ** 20;

export interface Remark {
  hint?: string | undefined;
  /** The key is at fault rather than the value. */
  key?: boolean;
  /** Where inside the value, in bytes. */
  bytes?: readonly [number, number] | undefined;
}

export class Loading {
  readonly problems: Problem[] = [];
  /** Every file that was read or should have been: a change of one is a reason to load again. */
  readonly files = new Set<string>();
  /** Of other files whose places continue a pointer of ours (`<pointer of the value>/<pointer inside>`): their own. */
  readonly inside = new Map<string, (pointer: string) => Place>();
  /** Sections (first segments of pointers) that have a problem. */
  readonly faulty = new Set<string>();
  /** Of lists that lost items to problems, where the items that are left stood. */
  readonly #stood = new Map<string, number[]>();

  constructor(
    readonly source: Source,
    readonly directory: string,
  ) {}

  problem(pointer: string, message: string, remark: Remark = {}): void {
    this.#add('problem', pointer, message, remark);
  }

  warning(pointer: string, message: string, remark: Remark = {}): void {
    this.#add('warning', pointer, message, remark);
  }

  /** Absolute path of a file that the configuration names; from now on it is watched. */
  path(written: string): string {
    const absolute = resolve(this.directory, written);
    this.files.add(absolute);
    return absolute;
  }

  bytes(pointer: string, written: string): Buffer | null {
    try {
      return readBounded(this.path(written));
    } catch (error) {
      this.problem(pointer, (error as Error).message, { hint: `looked for ${this.path(written)}` });
      return null;
    }
  }

  text(pointer: string, written: string): string | null {
    return this.bytes(pointer, written)?.toString('utf8') ?? null;
  }

  /** Warns of a private key, by its absolute path, that others can read. */
  warnOfMode(pointer: string, file: string): void {
    const warning = warningOfMode(file);
    if (warning) this.warning(pointer, warning, { hint: `chmod 600 ${file}` });
  }

  /** Keys as written, also of entries that have problems: a name that exists is never reported as unknown. */
  names(pointer: string): string[] {
    const value = at(this.source.value, pointer);
    return typeof value === 'object' && value !== null ? Object.keys(value) : [];
  }

  /** Tells that an item of a list was left out, so that the pointers of those behind it still fit. */
  leftOut(list: string, index: number, length: number): void {
    const stood = this.#stood.get(list) ?? Array.from({ length }, (_, i) => i);
    stood.splice(index, 1);
    this.#stood.set(list, stood);
  }

  /** The pointer as the file has it. */
  original(pointer: string): string {
    return path(pointer).reduce<string>((above, key) => {
      const stood = this.#stood.get(above)?.[Number(key)];
      return child(above, stood ?? key);
    }, '');
  }

  /** Where a pointer leads: into the file it belongs to. */
  place(pointer: string, { key = false, bytes }: Remark = {}): Place {
    for (const [above, place] of this.inside) {
      if (pointer.startsWith(`${above}/`)) return place(pointer.slice(above.length));
    }
    return this.source.place(this.original(pointer), { key, ...(bytes && { bytes }) });
  }

  #add(severity: Problem['severity'], pointer: string, message: string, remark: Remark): void {
    const original = this.original(pointer);
    if (severity === 'problem') this.faulty.add(path(original)[0] ?? '');
    if (this.source.unread.has(original)) return;
    const place = this.place(pointer, remark);
    const { hint } = remark;
    this.problems.push({ severity, place, message, ...(hint && { hint }) });
  }
}

/** Reads a whole file, or throws a sentence that an operator understands. */
export function readBounded(absolute: string): Buffer {
  try {
    const { size } = statSync(absolute);
    if (size > MAX_FILE_BYTES) throw new Error(`the file is larger than ${MAX_FILE_BYTES / 2 ** 20} MiB`);
    return readFileSync(absolute);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error((code && READING[code]) ?? message);
  }
}

const READING: Readonly<Record<string, string>> = {
  ENOENT: 'the file does not exist',
  EACCES: 'the file may not be read by this user',
  EISDIR: 'this is a directory, not a file',
  ENOTDIR: 'part of the path is not a directory',
};

/** A sentence when others than the owner and the group can read the file of a key. */
export function warningOfMode(file: string): string | null {
  return statSync(file).mode & 0o004 ? 'every user of this machine can read the key' : null;
}

export function readSurroundings(file: string, env: NodeJS.ProcessEnv, files: Set<string>) {
  return {
    env,
    file: (written: string) => {
      const absolute = resolve(dirname(file), written);
      files.add(absolute);
      return readBounded(absolute).toString('utf8');
    },
  };
}
