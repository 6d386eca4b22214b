// Tells when the configuration, or a file it names, has changed.
//
// Folders are watched rather than files: editors and secret stores put a new file in place of the old one. An event
// only says "look now"; what counts is whether a file's identity, size or time differ. Where events do not arrive
// (network file systems, links swapped above the folder), a slow poll does the same.

import { type FSWatcher, statSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';

/** Long enough for an editor's several steps and for a certificate and its key to be both in place. */
const SETTLE_MS = 250;
const POLL_MS = 5_000;

export class Watch {
  readonly #changed: () => void;
  #files: readonly string[] = [];
  #names: ReadonlySet<string> = new Set();
  #seen = '';
  #folders = new Map<string, FSWatcher>();
  #settling: NodeJS.Timeout | undefined;
  readonly #poll: NodeJS.Timeout;

  constructor(changed: () => void) {
    this.#changed = changed;
    this.#poll = setInterval(() => this.#look(), POLL_MS);
    this.#poll.unref();
  }

  /** From now on these files count, as they are now. They have been read since `readSince`: a change after that is news. */
  follow(files: readonly string[], readSince: number): void {
    this.#files = [...files].sort();
    this.#names = new Set(files.map(file => basename(file)));
    this.#seen = this.#prints();
    const wanted = new Set(files.map(dirname));
    for (const [folder, watcher] of this.#folders) {
      if (wanted.has(folder)) continue;
      watcher.close();
      this.#folders.delete(folder);
    }
    for (const folder of wanted) if (!this.#folders.has(folder)) this.#watchFolder(folder);
    if (files.some(file => changedSince(file, readSince))) {
      this.#seen = '';
      this.#soon();
    }
  }

  close(): void {
    clearInterval(this.#poll);
    clearTimeout(this.#settling);
    for (const watcher of this.#folders.values()) watcher.close();
    this.#folders.clear();
  }

  #watchFolder(folder: string): void {
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => {
        // An event log may stand in the same folder: only what was read is looked at again, or a swap of a whole folder
        // of symbolic links, as Kubernetes mounts them.
        if (name === null || this.#names.has(name) || name.startsWith('..')) this.#soon();
      });
      watcher.on('error', () => {
        watcher.close();
        this.#folders.delete(folder);
      });
      this.#folders.set(folder, watcher);
    } catch {
      // No folder, or no watches left: the poll sees it.
    }
  }

  #soon(): void {
    // Not put off by further events: a log file in the same folder must not keep changes from being seen.
    this.#settling ??= setTimeout(() => {
      this.#settling = undefined;
      this.#look();
    }, SETTLE_MS).unref();
  }

  #look(): void {
    const prints = this.#prints();
    if (prints === this.#seen) return;
    this.#seen = prints;
    this.#changed();
  }

  #prints(): string {
    return this.#files.map(print).join('\n');
  }
}

function print(file: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(file);
    return `${file} ${ino} ${size} ${mtimeMs}`;
  } catch {
    return `${file} absent`;
  }
}

function changedSince(file: string, since: number): boolean {
  try {
    return statSync(file).ctimeMs >= since;
  } catch {
    return false;
  }
}
