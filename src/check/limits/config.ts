import { z } from 'zod';
import { headerName } from '../../config/headers.js';
import { duration, file } from '../../config/units.js';

/** What tells counters apart: more is nobody's intention, and each is looked up for every request. */
const MAX_CHARACTERISTICS = 8;
/** In a second, one per nanosecond: a local counter's clock does not tell more apart. */
const MAX_AMOUNT = 1_000_000_000;
/** A table of them takes a gigabyte (docs/limits.md). */
const MAX_ENTRIES = 2 ** 24;
/** Cluster and Sentinel tell of the nodes that are not listed. */
const MAX_NODES = 64;

const expression = z.string().min(1).max(4_096).meta({ title: 'expression' });
const amount = z.int().min(1).max(MAX_AMOUNT);

const mode = z.enum(['local', 'fast', 'strict']);
const fallback = z.enum(['local', 'open', 'closed']);

const score = z.strictObject({
  responseHeader: headerName()
    .optional()
    .describe("A header of the origin's answer that holds a whole number; 1 where it holds none."),
  expression: expression.optional().describe('A number, of the request.'),
});

/** What a limit is, wherever it is written. */
const common = {
  countingExpression: expression
    .optional()
    .describe(
      'Which of those requests count; may read `http.response.code` and `http.response.headers`. All unless given.',
    ),
  characteristics: z
    .array(expression)
    .max(MAX_CHARACTERISTICS)
    .default([])
    .describe('Values that tell counters apart (docs/limits.md); one counter for all unless given.'),
  algorithm: z
    .enum(['gcra', 'slidingWindow'])
    .optional()
    .describe(
      '`gcra`, which holds unless given: a bucket of `burst` that fills evenly. `slidingWindow`: never more than the amount in any period.',
    ),
  requestsPerPeriod: amount.optional().describe('How many requests. This, `scorePerPeriod` or `concurrency`.'),
  scorePerPeriod: amount.optional().describe('How much `score`, all requests together.'),
  score: score.optional().describe('What a request costs, with `scorePerPeriod`.'),
  per: z
    .enum(['request', 'message'])
    .default('request')
    .describe('What is counted. `message`: each message of a gRPC call whose services are described, not the call.'),
  concurrency: z.int().min(1).max(1_000_000).optional().describe('How many requests under way at once.'),
  period: duration('1s', '24h').optional().describe('The time that the amount speaks of; not with `concurrency`.'),
  burst: amount
    .optional()
    .describe('With `gcra`, how much at once after a pause: 1 to the amount. All of it unless given.'),
  mitigationTimeout: duration('0s', '24h')
    .optional()
    .describe('How long a key that went over is refused, whatever it does. Unless given, or `0s`, the excess only.'),
  action: z
    .enum(['off', 'log', 'block', 'delay'])
    .default('block')
    .describe(
      'What becomes of a request that goes over. `log` counts and records as if it were enforced, `off` does not look, `delay` lets it wait for its turn.',
    ),
  delay: duration('1ms', '10s')
    .optional()
    .describe('With `action: delay`, how long a request may wait; who would have to wait longer is refused.'),
  mode: mode
    .default('local')
    .describe(
      '`local`: this process counts. `strict`: the fleet counts, each counted request asks `limits.shared`. `fast`: the fleet counts, from leases that are settled behind the requests.',
    ),
  fallback: fallback
    .optional()
    .describe(
      "While `limits.shared` does not answer: `local` goes on with this node's share of the limit, which holds unless given; everything passes; or nothing does.",
    ),
  advance: amount
    .optional()
    .describe(
      'With `mode: fast`, how much a node admits of a key before it has asked for more; a tenth of the amount unless given.',
    ),
};

const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/)
  .meta({ title: 'limit name', forms: ['logins'] })
  .describe(
    'Stable name: reason `limits.<name>`, log field and metric label. Letters, digits, `-`, `_`, `.`; at most 64.',
  );

export const limit = z.strictObject({
  name,
  expression: expression.optional().describe('Which requests it holds for (docs/rules.md); all unless given.'),
  ...common,
});

/** `x-portcullis: { limit: ... }` of an API description: the operation says which requests. */
export const operationLimit = z.strictObject({ name: name.optional(), ...common });

/** `valkey.internal:6379`, `[::1]:6379`. */
const node = z
  .string()
  .max(300)
  .regex(/^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?):\d{1,5}$/)
  .meta({ title: 'host:port', forms: ['valkey-1.internal:6379'] });
const nodes = z.array(node).min(1).max(MAX_NODES);

const shared = z
  .strictObject({
    url: z
      .string()
      .min(1)
      .max(2_048)
      .optional()
      .describe(
        'One server: `rediss://user:password@host:6379/0`, best interpolated; `redis://` without TLS. This, `cluster` or `sentinels`.',
      ),
    cluster: nodes.optional().describe('Some nodes of a cluster; they tell of the others.'),
    sentinels: z
      .strictObject({
        name: z.string().min(1).max(128).describe('What the sentinels call the server.'),
        nodes: nodes.describe('Where they listen; they tell of the others.'),
        user: z.string().min(1).max(256).optional().describe('ACL user of the sentinels themselves.'),
        password: z.string().min(1).max(1_024).optional().describe('Password of the sentinels themselves.'),
      })
      .optional()
      .describe('Sentinels that know which server leads.'),
    user: z.string().min(1).max(256).optional().describe('ACL user, unless the URL says it.'),
    password: z.string().min(1).max(1_024).optional().describe('Its password, interpolated.'),
    tls: z
      .strictObject({
        ca: file().optional().describe("Authorities of the servers, PEM, instead of the system's."),
        certificate: file().optional().describe('Certificate of the gateway, PEM, where the servers ask for one.'),
        key: file().optional().describe('Its key, PEM.'),
        servername: z.string().min(1).max(253).optional().describe('Name in the certificates, if not the host.'),
      })
      .optional()
      .describe('TLS to all servers, verified; needs a `rediss://` URL. `{}` takes the system authorities.'),
    timeout: duration('1ms', '1s')
      .prefault('50ms')
      .describe('How long a request waits for the answer; then its `fallback` decides.'),
    prefix: z
      .string()
      .regex(/^[A-Za-z0-9_.:-]{1,64}$/)
      .meta({ title: 'prefix of keys', forms: ['portcullis'] })
      .default('portcullis')
      .describe('What the names of all keys begin with: gateways with the same prefix count together.'),
  })
  .describe('Valkey or Redis, 7 or later, where the counters of a fleet live.');

const databases = z
  .strictObject({
    country: file().optional().describe('For `ip.src.country`: countries, or cities.'),
    asn: file().optional().describe('For `ip.src.asnum`: networks.'),
  })
  .prefault({})
  .describe('MaxMind databases (`.mmdb`). Taken up when they change.');

export const limits = z
  .strictObject({
    entries: z
      .int()
      .min(1_024)
      .max(MAX_ENTRIES)
      .default(1_048_576)
      .describe('Most keys that are counted at once, of all limits; at most 64 bytes each. Taken at the start.'),
    allowUncounted: z
      .boolean()
      .default(false)
      .describe('When all entries are in use, a new key passes uncounted; otherwise it is refused.'),
    allowIdentities: z
      .boolean()
      .default(false)
      .describe('Whether `limits top` and the admin API show what a key stands for, not only its hash.'),
    headers: z
      .boolean()
      .default(false)
      .describe('Whether passing answers say what is left: `RateLimit`, `RateLimit-Policy`. Refusals always do.'),
    shared: shared.optional(),
    databases,
    quotas: z
      .strictObject({
        mode: mode.default('local').describe('As of a limit.'),
        fallback: fallback.default('local').describe('As of a limit.'),
        advance: amount.default(10).describe('As of a limit; with `mode: fast`, of every partner.'),
      })
      .prefault({})
      .describe('How the quotas of partners are counted (docs/partners.md).'),
    rules: z
      .array(limit)
      .max(2_000)
      .default([])
      .describe('Limits; a request passes when all that hold for it let it pass.'),
  })
  .describe('Rate limits (docs/limits.md).');

export type LimitsConfig = z.output<typeof limits>;
export type LimitConfig = z.output<typeof operationLimit>;
export type SharedConfig = z.output<typeof shared>;
