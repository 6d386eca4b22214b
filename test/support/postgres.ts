// A PostgreSQL server of the tests' own: in a temporary folder, on a Unix socket there, gone after the test file.
//
// PostgreSQL refuses to run as root: as root, the tests run it as `postgres` or `nobody`. A folder that `initdb` made is
// kept under .cache, one for each version, and copied: making one takes longer than most test files.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { atTheEnd } from './cleanup.js';
import { until } from './waiting.js';

const CACHE = fileURLToPath(new URL('../../.cache/postgres', import.meta.url));
/** Debian keeps its servers here, out of PATH. */
const DEBIAN = '/usr/lib/postgresql';
const USER = 'portcullis';
const START_WITHIN_MS = 20_000;

/** Where `initdb` and `postgres` are; null where PostgreSQL is not installed. */
export const programs: string | null = findPrograms();

export class Postgres {
  #server: ChildProcess | null = null;
  #made = 0;

  private constructor(
    readonly folder: string,
    readonly port: number,
    readonly settings: string[],
  ) {}

  /** `settings` are of postgresql.conf: `fsync=off`. With a port it listens on 127.0.0.1, too, with a certificate by TLS. */
  static async start(settings: string[] = [], port = 0, tls?: { cert: string; key: string }): Promise<Postgres> {
    const folder = mkdtempSync(join(tmpdir(), 'portcullis-pg-'));
    const server = new Postgres(folder, port || 5432, [...settings, `listen_addresses=${port ? '127.0.0.1' : ''}`]);
    atTheEnd(async () => {
      await server.kill();
      rmSync(folder, { recursive: true, force: true });
    });
    copy(template(), server.data);
    const own = [folder];
    if (tls) {
      for (const [name, pem] of Object.entries({ cert: tls.cert, key: tls.key })) {
        const file = join(folder, name);
        writeFileSync(file, pem, { mode: 0o600 });
        own.push(file);
      }
      server.settings.push('ssl=on', `ssl_cert_file=${folder}/cert`, `ssl_key_file=${folder}/key`);
    }
    const { uid, gid } = owner();
    if (uid !== undefined && gid !== undefined) for (const path of own) chownSync(path, uid, gid);
    await server.start();
    return server;
  }

  get data(): string {
    return join(this.folder, 'data');
  }

  /** Of a database, through the socket. */
  url(database = 'postgres'): string {
    return `postgres://${USER}@localhost:${this.port}/${database}?host=${encodeURIComponent(this.folder)}`;
  }

  /** A new, empty database; answers its URL. */
  async database(options = ''): Promise<string> {
    const name = `test_${process.pid}_${++this.#made}`;
    await this.ask(`create database ${name} ${options}`);
    return this.url(name);
  }

  async ask(statement: string): Promise<unknown[]> {
    const client = new pg.Client({ connectionString: this.url() });
    await client.connect();
    try {
      return (await client.query(statement)).rows;
    } finally {
      await client.end();
    }
  }

  async start(): Promise<void> {
    const given = [...this.settings, `port=${this.port}`, `unix_socket_directories=${this.folder}`];
    const args = ['-D', this.data, ...given.flatMap(one => ['-c', one])];
    let told = '';
    const server = spawn(join(programs as string, 'postgres'), args, {
      ...owner(),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    server.stderr?.setEncoding('utf8').on('data', piece => {
      told += piece;
    });
    this.#server = server;
    const answers = async () => {
      if (server.exitCode !== null) throw new Error(`postgres ended:\n${told}`);
      return this.ask('select 1').then(
        () => true,
        () => false,
      );
    };
    await until(answers, START_WITHIN_MS);
  }

  /** In order: connections are cut, what was committed is in its place. */
  async stop(): Promise<void> {
    await this.#end('SIGINT');
  }

  /** SIGKILL to the server and all its processes, at once: as if the power failed, but for the disk's own cache. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (!server?.pid || server.exitCode !== null) return;
    let children: number[] = [];
    if (signal === 'SIGKILL') {
      // Halted first, so that it starts no process that nobody knows of.
      server.kill('SIGSTOP');
      children = childrenOf(server.pid);
    }
    const ended = new Promise(resolve => server.once('exit', resolve));
    for (const pid of [server.pid, ...children]) {
      try {
        process.kill(pid, signal);
      } catch {
        // It ended by itself.
      }
    }
    await ended;
    await until(() => !children.some(pid => existsSync(`/proc/${pid}`)));
  }
}

function findPrograms(): string | null {
  const places = existsSync(DEBIAN)
    ? readdirSync(DEBIAN)
        .sort((a, b) => Number(b) - Number(a))
        .map(version => join(DEBIAN, version, 'bin'))
    : [];
  places.push(...(process.env.PATH ?? '').split(':'));
  return places.find(place => ['initdb', 'postgres'].every(name => existsSync(join(place, name)))) ?? null;
}

/** Whose processes and files they are; empty where that is ourselves. */
function owner(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map(line => line.split(':'));
  const found = ['postgres', 'nobody'].map(name => users.find(([user]) => user === name)).find(Boolean);
  return { uid: Number(found?.[2]), gid: Number(found?.[3]) };
}

function template(): string {
  const bin = programs as string;
  const version = execFileSync(join(bin, 'postgres'), ['--version'])
    .toString()
    .replace(/[^\d.]+/g, '-');
  const kept = join(CACHE, `${version}-${owner().uid ?? process.getuid?.()}`);
  if (existsSync(kept)) return kept;
  const fresh = mkdtempSync(join(tmpdir(), 'portcullis-initdb-'));
  const { uid, gid } = owner();
  if (uid !== undefined && gid !== undefined) chownSync(fresh, uid, gid);
  const options = ['--no-sync', '--auth=trust', '--encoding=UTF8', '--locale=C', `--username=${USER}`];
  execFileSync(join(bin, 'initdb'), ['-D', join(fresh, 'data'), ...options], { ...owner(), cwd: '/', stdio: 'pipe' });
  mkdirSync(CACHE, { recursive: true });
  const beside = `${kept}.${process.pid}`;
  copy(join(fresh, 'data'), beside);
  rmSync(fresh, { recursive: true });
  try {
    renameSync(beside, kept);
  } catch {
    // Another test file was faster.
    rmSync(beside, { recursive: true });
  }
  return kept;
}

/** With owners and modes, which PostgreSQL looks at. */
function copy(from: string, to: string): void {
  execFileSync('cp', ['-a', from, to]);
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc').flatMap(name => {
    if (!/^\d+$/.test(name)) return [];
    try {
      // `pid (name) state ppid`; a name may hold anything but its end.
      const [, ppid] = readFileSync(`/proc/${name}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ');
      return Number(ppid) === parent ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}
