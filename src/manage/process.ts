// The life of the gateway process, between its supervisor's signals.

import { rmSync } from 'node:fs';
import { render, wantsColour } from '../config/problem.js';
import { Gateway, Refused, type Surroundings } from './gateway.js';
import type { Report } from './supervisor.js';

/** The configuration has problems, or something is in its way; the supervisor hands the code on. */
const PROBLEMS = 1;

export async function live(from: Omit<Surroundings, 'report'>): Promise<void> {
  const { log } = from;
  const tell = (report: Report) => {
    if (process.connected) process.send?.(report);
  };
  const gateway = new Gateway({
    ...from,
    report: what => tell(what === 'reloading' ? { type: 'reloading' } : { type: 'ready', graceMs: gateway.graceMs }),
  });
  const started = gateway.start();
  let stopping = false;
  const stop = async (why: string) => {
    if (stopping) return;
    stopping = true;
    tell({ type: 'stopping' });
    log.info({ why }, 'stopping: exchanges in flight may finish');
    await started.catch(() => {});
    const drained = await gateway.stop();
    if (!drained) log.warn('exchanges in flight did not finish within drain.grace and are cut off');
    if (!process.connected) rmSync(from.folder, { recursive: true, force: true });
    end(drained ? 0 : null);
  };
  process.on('SIGTERM', () => void stop('SIGTERM'));
  process.on('SIGINT', () => void stop('SIGINT'));
  process.on('disconnect', () => void stop('the supervisor is gone'));
  process.on('SIGHUP', () => void gateway.reload('SIGHUP'));
  process.on('uncaughtException', error => {
    log.fatal({ error: error.stack }, 'an error nobody expected: the process ends and is started again');
    end(null);
  });
  try {
    await started;
  } catch (error) {
    if (error instanceof Refused) explain(error);
    else log.fatal({ error: (error as Error).message }, 'the gateway cannot start');
    process.exitCode = PROBLEMS;
    // Threads may be half started: without open handles there is nothing to wait for, with them exit would abort.
    end(gateway.port === 0 ? PROBLEMS : null);
    return;
  }
  // Unheard, this signal would open Node's debugger: main.ts already listens, and from now on it means something.
  process.on('SIGUSR1', () => gateway.reopenEvents());
  tell({ type: 'ready', graceMs: gateway.graceMs });
  log.info({ https: gateway.port, admin: gateway.adminPort }, 'serving');
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
