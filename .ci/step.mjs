// A build step: shown while it runs, skipped when what it reads has not changed.
//
// A step's stamp under .cache/build/ is the hash of the contents of its inputs. Times of files are not
// looked at: a checkout changes them all.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** Where the output is no terminal, a sign of life this often. */
const SIGN_OF_LIFE_MS = 20_000;

/** A program that a step ran failed; `output` is what it said about it. */
export class StepFailed extends Error {
  constructor(message, output) {
    super(message);
    this.output = output;
  }
}

/**
 * Runs a step, unless its stamp says that nothing it reads has changed.
 *
 * `files` are what it reads, `values` further inputs, `outputs` paths that have to exist afterwards.
 */
export async function step(name, { files, values = [], outputs, run }) {
  const stamp = join(root, '.cache/build', name);
  const digest = digestOf(files, values);
  if (outputs.every(output => existsSync(join(root, output))) && read(stamp) === digest) {
    console.log(`  ${name.padEnd(12)} unchanged`);
    return;
  }
  rmSync(stamp, { force: true });
  const shown = new Progress(name);
  try {
    await run(text => shown.update(text));
  } catch (error) {
    shown.end('failed');
    throw error;
  }
  shown.end('done');
  mkdirSync(join(root, '.cache/build'), { recursive: true });
  writeFileSync(stamp, digest);
}

/** All files below folders of the repository, as paths from its root; what `leaveOut` matches is left out. */
export function filesUnder(folders, leaveOut = /(?!)/) {
  const found = [];
  const visit = folder => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (leaveOut.test(relative(root, path))) continue;
      if (entry.isDirectory()) visit(path);
      else if (entry.isFile()) found.push(relative(root, path));
    }
  };
  for (const folder of folders) if (existsSync(join(root, folder))) visit(join(root, folder));
  return found.sort();
}

/**
 * Runs a program quietly; resolves to its standard output. `onOutput` sees each piece of standard error as it comes.
 */
export function quietly(command, args, { env = {}, onOutput = () => {} } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', piece => {
      stdout += piece;
    });
    child.stderr.setEncoding('utf8').on('data', piece => {
      stderr += piece;
      onOutput(piece);
    });
    child.on('error', error => reject(new StepFailed(`${command}: ${error.message}`, '')));
    child.on('close', (code, signal) => {
      if (code === 0) resolve(stdout);
      else
        reject(
          new StepFailed(
            `${command} ${args[0]} ended with ${signal ?? `exit code ${code}`}`,
            stderr.trim() === '' ? stdout : stderr,
          ),
        );
    });
  });
}

/** One line that changes on a terminal; elsewhere a new line now and then, also while the program says nothing. */
class Progress {
  #name;
  #started = Date.now();
  #text = '';
  #timer;

  constructor(name) {
    this.#name = name;
    const terminal = process.stdout.isTTY;
    if (!terminal) console.log(`  ${name.padEnd(12)} ...`);
    this.#timer = setInterval(() => this.#draw(terminal), terminal ? 250 : SIGN_OF_LIFE_MS);
  }

  update(text) {
    this.#text = text;
  }

  end(outcome) {
    clearInterval(this.#timer);
    if (process.stdout.isTTY) process.stdout.write('\r\x1b[2K');
    console.log(`  ${this.#name.padEnd(12)} ${outcome} in ${this.#seconds()} s`);
  }

  #draw(terminal) {
    const line = `  ${this.#name.padEnd(12)} ${this.#seconds()} s  ${this.#text}`;
    if (terminal) process.stdout.write(`\r\x1b[2K${line.slice(0, (process.stdout.columns || 80) - 1)}`);
    else console.log(line);
  }

  #seconds() {
    return Math.round((Date.now() - this.#started) / 1000);
  }
}

function digestOf(files, values) {
  const hash = createHash('sha256');
  for (const file of files) {
    const content = readFileSync(join(root, file));
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.update(JSON.stringify(values)).digest('hex');
}

function read(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : null;
}
