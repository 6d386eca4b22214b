// The files of one description: its main one, those beside it that references name, and those of listed hosts.
//
// A reference never leads out of the main file's folder, by `..` or by a link, nor to a host that nobody listed.

import { realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { readBounded } from '../../config/loading.js';
import { type Fetch, isListed } from './remote.js';
import { Text } from './text.js';

/** Files of one description, the main one included. The largest split descriptions have some hundred. */
const MAX_FILES = 256;
const MAX_REMOTE_FILES = 64;
/** All files of one description. GitHub's has 13 MB. */
const MAX_BYTES = 64 * 2 ** 20;

/** One file of a description. */
export interface Part {
  /** '' for the main file, its path from the main file's folder, or a URL. */
  readonly key: string;
  /** URL that references in it count from. */
  readonly location: string;
  readonly text: Text;
  /** Its values; a Swagger 2.0 description is replaced by what it comes to in OpenAPI 3.0. */
  root: unknown;
}

export interface Main {
  /** Absolute. */
  path: string;
  /** How remarks call it. */
  shown: string;
  text: string;
}

export class Files {
  readonly main: Part;
  readonly #parts = new Map<string, Part>();
  readonly #byKey = new Map<string, Part>();
  /** Why a file is not there: looked for once. */
  readonly #refused = new Map<string, string>();
  readonly #folder: string;
  #bytes = 0;
  #remote = 0;

  /** `seen` hears of every file that is looked at, there or not. */
  constructor(
    private readonly opened: Main,
    readonly hosts: readonly string[],
    private readonly seen: (path: string) => void,
  ) {
    this.#folder = dirname(opened.path);
    this.main = this.#add('', pathToFileURL(opened.path).href, opened.shown, opened.text);
  }

  parts(): Iterable<Part> {
    return this.#parts.values();
  }

  keyed(key: string): Part | undefined {
    return this.#byKey.get(key);
  }

  /** The file at a URL, or why there is none. One of another host is there only after `fetch`. */
  at(url: string): Part | string {
    return this.#parts.get(url) ?? this.#refused.get(url) ?? this.#settle(url, () => this.#read(new URL(url)));
  }

  /** Whether a URL names a file that would be fetched; where it would be refused, `at` says so. */
  isRemote(url: string): boolean {
    return !this.#parts.has(url) && !this.#refused.has(url) && isListed(new URL(url), this.hosts);
  }

  async fetch(url: string, fetch: Fetch): Promise<Part | string> {
    let text: string;
    try {
      if (++this.#remote > MAX_REMOTE_FILES) throw new Error(`more than ${MAX_REMOTE_FILES} files of other hosts`);
      text = await fetch(new URL(url));
    } catch (error) {
      this.#refused.set(url, (error as Error).message);
      return (error as Error).message;
    }
    return this.#settle(url, () => this.#add(url.replaceAll('#', '%23'), url, url, text));
  }

  #settle(url: string, read: () => Part): Part | string {
    try {
      return read();
    } catch (error) {
      const { message } = error as Error;
      this.#refused.set(url, message);
      return message;
    }
  }

  #read(url: URL): Part {
    if (url.protocol !== 'file:') {
      const listed = url.protocol === 'https:' ? ', unless `allowRemoteReferences` lists their host' : '';
      throw new Error(`references do not leave the description's folder${listed}`);
    }
    const path = fileURLToPath(url);
    const key = this.#inside(this.#folder, path);
    this.seen(path);
    const real = realpath(path);
    this.#inside(realpath(this.#folder), real);
    if (!statSync(real).isFile()) throw new Error('this is not a file');
    const shown = join(dirname(this.opened.shown), key);
    const text = readBounded(real).toString('utf8');
    return this.#add(key.split(sep).join('/').replaceAll('#', '%23'), url.href, shown, text);
  }

  #inside(folder: string, path: string): string {
    const way = relative(folder, path);
    if (way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way)) {
      throw new Error("references do not leave the description's folder");
    }
    return way;
  }

  #add(key: string, location: string, shown: string, text: string): Part {
    this.#bytes += Buffer.byteLength(text);
    if (this.#parts.size === MAX_FILES) throw new Error(`a description has at most ${MAX_FILES} files`);
    const whole = this.#bytes <= MAX_BYTES;
    if (!whole && key !== '') throw new Error(TOO_LARGE);
    const read = new Text(shown, whole ? text : '');
    const part = { key, location, text: read, root: read.value };
    this.#parts.set(location, part);
    this.#byKey.set(key, part);
    return part;
  }

  /** The main file alone may be larger than what is read. */
  get tooLarge(): string | null {
    return this.#bytes > MAX_BYTES && this.#parts.size === 1 ? TOO_LARGE : null;
  }
}

const TOO_LARGE = `a description has at most ${MAX_BYTES / 2 ** 20} MiB in all its files`;

function realpath(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(code === 'ENOENT' ? 'the file does not exist' : message);
  }
}
