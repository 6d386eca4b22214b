// The life of the gateway process, between its supervisor's signals.

import { rmdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { flat, render, wantsColour } from '../config/problem.js';
import { Gateway, Refused, type Surroundings } from './gateway.js';
import { type Channel, Supervision } from './supervision.js';

/** The configuration has problems, or something is in its way; the supervisor hands the code on. */
const PROBLEMS = 1;

type Brought = Omit<Surroundings, 'report' | 'takeSocket' | 'upgrade'> & { version: string };

export async function live({ version, ...from }: Brought): Promise<void> {
  const { log, successor } = from;
  const supervision = new Supervision(process as Channel);
  const standing = () => ({ graceMs: gateway.graceMs, uses: gateway.uses });
  const gateway = new Gateway({
    ...from,
    takeSocket: supervision.takeSocket,
    upgrade: () => supervision.upgrade(),
    report: what =>
      void supervision.tell(what === 'reloading' ? { type: 'reloading' } : { type: 'reloaded', ...standing() }),
  });
  const started = gateway.start();
  let stopping = false;
  const stop = async (why: string, retired = false) => {
    if (stopping) return;
    stopping = true;
    void supervision.tell({ type: 'stopping' });
    log.info({ why }, 'stopping: exchanges in flight may finish');
    await started.catch(() => {});
    const cut = await (retired ? gateway.retire() : gateway.stop());
    if (cut === 0) log.info('everything that was under way has ended');
    else log.warn({ cut }, 'exchanges in flight did not finish within drain.grace and are cut off');
    if (!process.connected) removeFolder(from.folder);
    end(cut === null ? null : 0);
  };
  process.on('SIGTERM', () => void stop('SIGTERM'));
  process.on('SIGINT', () => void stop('SIGINT'));
  process.on('disconnect', () => void stop('the supervisor is gone'));
  supervision.onRetire = () => void stop('another process serves', true);
  process.on('SIGHUP', () => void gateway.reload('SIGHUP'));
  process.on('uncaughtException', error => {
    log.fatal({ error: error.stack }, 'an error nobody expected: the process ends and is started again');
    end(null);
  });
  try {
    await started;
  } catch (error) {
    const { message } = error as Error;
    const remarks = error instanceof Refused ? error.remarks : [];
    if (error instanceof Refused && !successor) explain(error);
    else log.fatal({ error: message }, 'the gateway cannot start');
    process.exitCode = PROBLEMS;
    await supervision.tell({ type: 'refused', message, problems: remarks.map(flat) });
    // Threads may be half started: without open handles there is nothing to wait for, with them exit would abort.
    end(gateway.port === 0 ? PROBLEMS : null);
    return;
  }
  // Unheard, this signal would open Node's debugger: main.ts already listens, and from now on it means something.
  process.on('SIGUSR1', () => gateway.reopenEvents());
  log.info({ https: gateway.port, admin: gateway.adminPort }, 'serving');
  await supervision.tell({ type: 'ready', version, ...standing() });
}

/** Where the supervisor would have, and its own folder around it if this was the last. */
function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  try {
    rmdirSync(dirname(folder));
  } catch {
    // Another process has its folder there.
  }
}

/** A worker thread that holds open handles makes a regular exit abort; null ends the process without asking them. */
function end(code: number | null): void {
  if (code === null) process.kill(process.pid, 'SIGKILL');
  else process.exit(code);
}

function explain({ remarks }: Refused): void {
  const colour = wantsColour(process.stderr);
  process.stderr.write(`${remarks.map(remark => render(remark, colour)).join('\n\n')}\n`);
}
