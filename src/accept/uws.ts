/**
 * Loads uWebSockets.js, also where glibc is older than 2.38.
 *
 * Its Linux binary asks for GLIBC_2.38 because of three names only, which the native door exports
 * (native/door/src/glibc.rs). The dynamic linker checks the version before it looks for names, so on an older glibc
 * a copy of the binary is loaded in which that one requirement is weak.
 */

import type * as Uws from 'uWebSockets.js';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants, homedir } from 'node:os';
import { dirname, join } from 'node:path';
// The door must be loaded first: see above.
import '../native.js';

const require = createRequire(import.meta.url);
const binaryName = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;

export type UwsModule = typeof Uws & { _cfg(word: 'silent'): void };

/** Major.minor of the running glibc, or null where there is none (musl, macOS). */
export function glibcVersion(): [number, number] | null {
  const header = (process.report.getReport() as { header?: { glibcVersionRuntime?: string } }).header;
  const match = /^(\d+)\.(\d+)/.exec(header?.glibcVersionRuntime ?? '');
  return match ? [Number(match[1]), Number(match[2])] : null;
}

export function needsWeakCopy(glibc: [number, number] | null): boolean {
  return glibc !== null && (glibc[0] < 2 || (glibc[0] === 2 && glibc[1] < 38));
}

/** Loads the module. `cache` is the folder for the weakened copy. */
export function loadUws(cache = defaultCache()): UwsModule {
  const uws = needsWeakCopy(glibcVersion()) ? loadWeakCopy(cache) : (require('uWebSockets.js') as UwsModule);
  // Takes away the `uWebSockets: 20` response header; counts for apps made from here on.
  uws._cfg('silent');
  return uws;
}

function defaultCache(): string {
  const base = process.env.PORTCULLIS_CACHE ?? process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  return join(base, 'portcullis');
}

function loadWeakCopy(cache: string): UwsModule {
  const original = join(dirname(require.resolve('uWebSockets.js')), binaryName);
  const bytes = readFileSync(original);
  const digest = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
  const copy = join(cache, `${digest}-${binaryName}`);
  weaken(bytes, 'GLIBC_2.38');
  if (!existsSync(copy) || !readFileSync(copy).equals(bytes)) {
    mkdirSync(cache, { recursive: true, mode: 0o700 });
    const temporary = `${copy}.${process.pid}.${Date.now()}`;
    writeFileSync(temporary, bytes, { mode: 0o700 });
    // Renaming is atomic: threads and processes that start at once see a whole file.
    renameSync(temporary, copy);
  }
  const module = { exports: {} };
  process.dlopen(module, copy, constants.dlopen.RTLD_NOW);
  return module.exports as UwsModule;
}

const SHT_GNU_VERNEED = 0x6fff_fffe;
const VER_FLG_WEAK = 2;

/** Marks a version requirement of a 64-bit little-endian ELF file as weak, in place (gABI: Symbol Versioning). */
export function weaken(elf: Buffer, version: string): void {
  const sections = Number(elf.readBigUInt64LE(0x28));
  const sectionSize = elf.readUInt16LE(0x3a);
  const sectionCount = elf.readUInt16LE(0x3c);
  const section = (index: number) => sections + index * sectionSize;
  let found = false;
  for (let index = 0; index < sectionCount; index++) {
    if (elf.readUInt32LE(section(index) + 4) !== SHT_GNU_VERNEED) continue;
    const strings = Number(elf.readBigUInt64LE(section(elf.readUInt32LE(section(index) + 40)) + 24));
    let need = Number(elf.readBigUInt64LE(section(index) + 24));
    for (let step = -1; step !== 0; need += step) {
      let entry = need + elf.readUInt32LE(need + 8);
      for (let left = elf.readUInt16LE(need + 2); left > 0; left--) {
        const name = strings + elf.readUInt32LE(entry + 8);
        if (elf.toString('latin1', name, elf.indexOf(0, name)) === version) {
          elf.writeUInt16LE(elf.readUInt16LE(entry + 4) | VER_FLG_WEAK, entry + 4);
          found = true;
        }
        entry += elf.readUInt32LE(entry + 12);
      }
      step = elf.readUInt32LE(need + 12);
    }
  }
  if (!found) {
    throw new Error(`the uWebSockets.js binary has no requirement of ${version}: remove the special loading`);
  }
}
