// Requests to the gateway's own paths, as the main thread answers them for all edge threads.

import { TOKEN } from '../config/headers.js';
import type { OwnAnswer, OwnRequest } from '../own-paths.js';
import type { Log } from './log.js';

export type AnswerOwn = (request: OwnRequest, body: Uint8Array) => Promise<OwnAnswer>;

/** What a header may hold (RFC 9110, 5.5); the edge thread writes them as they are. */
const VALUE = /^[\t\x20-\x7e]*$/;

/** Where nothing answers own paths. */
export const notHere: AnswerOwn = async () => problem(404, 'There is nothing at this path.');

/** `answer` made safe: whatever goes wrong in it becomes a 500, and is logged. */
export function contained(answer: AnswerOwn, log: Log): AnswerOwn {
  return async (request, body) => {
    try {
      const given = await answer(request, body);
      const bad = given.headers.find(([name, value]) => !TOKEN.test(name) || !VALUE.test(value));
      if (bad) throw new Error(`the header ${JSON.stringify(bad[0])} cannot be sent`);
      if (!Number.isInteger(given.status) || given.status < 200 || given.status > 599) {
        throw new Error(`${given.status} is no final status`);
      }
      return given;
    } catch (error) {
      log.error({ path: request.path, error: (error as Error).message }, 'a request to an own path failed');
      return problem(500, 'Internal error.');
    }
  };
}

function problem(status: number, title: string): OwnAnswer {
  return {
    status,
    headers: [
      ['Content-Type', 'application/problem+json'],
      ['Cache-Control', 'no-store'],
    ],
    body: JSON.stringify({ title, status }),
  };
}
