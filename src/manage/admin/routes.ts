// What the admin port answers.

import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { flat, type Problem } from '../../config/problem.js';
import type { Log } from '../log.js';
import type { Upgraded } from '../messages.js';
import type { Store } from '../store/open.js';
import { Api, BASE, Refusal } from './api.js';
import { routes as auditRoutes } from './audit-routes.js';
import { authentication, type Doorkeeping } from './authenticate.js';
import { routes as descriptionRoutes } from './description-routes.js';
import { type Guarded, guard } from './guard.js';
import { routes as meRoutes } from './me-routes.js';
import { problemJson } from './problem.js';
import { routes as tokenRoutes } from './token-routes.js';

export type ReloadResult = { applied: true; generation: number } | { applied: false; problems: Problem[] };

/** The gateway, as far as the admin port needs it. */
export interface Managed {
  /** Every edge thread listens, and nothing is on its way out. */
  ready(): boolean;
  metrics(): Promise<{ contentType: string; text: string }>;
  reload(why: string): Promise<ReloadResult>;
  /** Has another gateway process started from what is on the disk now, which takes the place of this one. */
  upgrade(): Promise<Upgraded>;
}

export interface Surface extends Doorkeeping, Guarded {
  gateway: Managed;
  store: Store;
  log: Pick<Log, 'error' | 'warn'>;
  /** Reachable from other machines: then whoever reads metrics says who he is. */
  remote: boolean;
  /** Each capability's own operations. */
  capabilities: readonly ((api: Api) => void)[];
}

export function routes(surface: Surface): Hono {
  const { gateway, store, tokens, log, remote, capabilities } = surface;
  const authenticate = authentication(surface);
  const api = new Api(authenticate, {
    unaudited: (operation, entries) =>
      log.error({ operation, entries }, 'a change is not in the audit log as it should be'),
    failed: (operation, error) => log.error({ operation, error: (error as Error).stack }, 'the admin API failed'),
  });
  reloadRoute(api, gateway, store);
  upgradeRoute(api, gateway, store);
  meRoutes(api);
  tokenRoutes(api, store, tokens);
  auditRoutes(api, store);
  for (const add of capabilities) add(api);
  descriptionRoutes(api);

  const app = new Hono();
  app.use(guard(surface));
  app.get('/livez', exchange => exchange.text('ok\n'));
  app.get('/readyz', exchange => (gateway.ready() ? exchange.text('ok\n') : exchange.text('not ready\n', 503)));
  app.get('/metrics', async exchange => {
    const principal = remote ? await authenticate(exchange) : null;
    if (principal instanceof Response) return principal;
    const { contentType, text } = await gateway.metrics();
    return exchange.body(text, 200, { 'Content-Type': contentType });
  });
  app.use(`${BASE}/*`, async (exchange, next) => {
    // Otherwise `/things/{id}` would answer for the methods that `/things/new` lacks.
    const here = api.operations.filter(({ path }) => BASE + path === exchange.req.path);
    const method = exchange.req.method === 'HEAD' ? 'GET' : exchange.req.method;
    if (here.length > 0 && !here.some(one => one.method.toUpperCase() === method)) return nothing(exchange, api);
    return await next();
  });
  app.route('/', api.app);
  app.notFound(exchange => nothing(exchange, api));
  return app;
}

function reloadRoute(api: Api, gateway: Managed, store: Store): void {
  api.operation(
    {
      id: 'reload',
      method: 'post',
      path: '/reload',
      summary: 'Take up the configuration as it is now, whole or not at all.',
      role: 'operator',
      tag: 'configuration',
      answer: z.object({ generation: z.int() }),
    },
    async ({ audit }) => {
      const result = await gateway.reload('admin');
      if (!result.applied) {
        throw new Refusal(422, 'The configuration was refused; the one before stays in force.', undefined, [], {
          members: { problems: result.problems.map(flat) },
        });
      }
      const { generation } = result;
      await store.write([], (tx, revisions) =>
        audit(tx, revisions, { action: 'config.reload', target: 'configuration', after: { generation } }),
      );
      return { body: { generation } };
    },
  );
}

function upgradeRoute(api: Api, gateway: Managed, store: Store): void {
  api.operation(
    {
      id: 'upgrade',
      method: 'post',
      path: '/upgrade',
      summary: 'Put another gateway process, started from what is on the disk now, in the place of this one.',
      role: 'operator',
      tag: 'configuration',
      answer: z.object({
        version: z.string().describe('Of the program that serves from now on.'),
        process: z.int().describe('Its process id.'),
      }),
    },
    async ({ audit }) => {
      const result = await gateway.upgrade();
      if (!result.upgraded) {
        const { why, message, problems } = result;
        if (why === 'busy') throw new Refusal(409, 'There is no upgrade now.', `${message}.`);
        throw new Refusal(422, 'The upgrade failed; the gateway before goes on.', `${message}.`, [], {
          members: { problems },
        });
      }
      const { version, process } = result;
      await store.write([], (tx, revisions) =>
        audit(tx, revisions, { action: 'gateway.upgrade', target: 'gateway', after: { version, process } }),
      );
      return { body: { version, process } };
    },
  );
}

/** 405 where another method would do (RFC 9110, 15.5.6), else 404. */
function nothing(exchange: Context, api: Api): Response {
  const { path } = exchange.req;
  const paths = [...new Set(api.operations.map(operation => BASE + operation.path))].filter(one => fits(one, path));
  // Of `/things/new` and `/things/{id}` the one that says it is the one that is meant.
  const meant = paths.find(one => one === path) ?? paths[0];
  const methods: string[] = api.operations.flatMap(one => (BASE + one.path === meant ? one.method : []));
  if (['/livez', '/readyz', '/metrics'].includes(path)) methods.push('get');
  if (methods.length === 0) return problemJson(exchange, 404, 'There is nothing here.');
  const allowed = methods.flatMap(method => (method === 'get' ? ['GET', 'HEAD'] : method.toUpperCase()));
  const Allow = [...new Set(allowed)].join(', ');
  return problemJson(exchange, 405, 'This method does nothing here.', { detail: `Methods: ${Allow}.` }, { Allow });
}

function fits(template: string, path: string): boolean {
  const [wanted, given] = [template.split('/'), path.split('/')];
  return (
    wanted.length === given.length &&
    wanted.every((part, i) => (part.startsWith('{') ? given[i] !== '' : part === given[i]))
  );
}
