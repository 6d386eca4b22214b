// What the admin port answers.

import { Hono } from 'hono';
import { flat, type Problem } from '../../config/problem.js';
import { localOnly } from './guard.js';
import { problemJson } from './problem.js';

export type ReloadResult = { applied: true; generation: number } | { applied: false; problems: Problem[] };

/** The gateway, as far as the admin port needs it. */
export interface Managed {
  /** Every edge thread listens, and nothing is on its way out. */
  ready(): boolean;
  metrics(): Promise<{ contentType: string; text: string }>;
  reload(why: string): Promise<ReloadResult>;
}

export function routes(gateway: Managed): Hono {
  const app = new Hono();
  app.use(localOnly);
  app.get('/livez', exchange => exchange.text('ok\n'));
  app.get('/readyz', exchange => (gateway.ready() ? exchange.text('ok\n') : exchange.text('not ready\n', 503)));
  app.get('/metrics', async exchange => {
    const { contentType, text } = await gateway.metrics();
    return exchange.body(text, 200, { 'Content-Type': contentType });
  });
  app.post('/admin/v1/reload', async exchange => {
    const result = await gateway.reload('admin');
    if (result.applied) return exchange.json({ generation: result.generation });
    return problemJson(exchange, 422, 'The configuration was refused; the one before stays in force.', {
      problems: result.problems.map(flat),
    });
  });
  app.notFound(exchange => problemJson(exchange, 404, 'There is nothing here.'));
  app.onError((_, exchange) => problemJson(exchange, 500, 'Internal error.'));
  return app;
}
