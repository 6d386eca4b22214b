// A zip that grows file by file, in memory.

import { Zip, ZipDeflate, ZipPassThrough } from 'fflate';
import type { File } from './bundle.js';

/** Certificates and keys hardly shrink, so they are stored as they are. */
export class Archive {
  readonly #zip: Zip;
  readonly #pieces: Uint8Array[] = [];
  readonly #now: Date;

  constructor(now: number) {
    this.#now = new Date(now);
    this.#zip = new Zip((error, piece) => {
      if (error) throw error;
      this.#pieces.push(piece);
    });
  }

  add(name: string, [content, { attrs, os }]: File): void {
    const file = name.endsWith('.csv') ? new ZipDeflate(name) : new ZipPassThrough(name);
    Object.assign(file, { mtime: this.#now, ...(attrs !== undefined && { attrs, os }) });
    this.#zip.add(file);
    file.push(content, true);
  }

  end(): Buffer {
    this.#zip.end();
    return Buffer.concat(this.#pieces);
  }
}
