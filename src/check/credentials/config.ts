import { z } from 'zod';
import { claims } from '../../config/claims.js';
import { headerName } from '../../config/headers.js';
import { action } from '../../config/staged.js';
import { oneOrMany } from '../../config/units.js';

const names = oneOrMany(z.string().min(1));

/** Of cookies (RFC 6265, 4.1.1) and authentication schemes (RFC 9110, 11.1): tokens like names of headers. */
const token = z
  .string()
  .max(128)
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/)
  .meta({ title: 'name without spaces and separators', forms: ['api_key', 'Bearer'] });

const place = z
  .strictObject({
    header: headerName().optional().describe('A header whose whole value is the key, or what follows `scheme`.'),
    scheme: token.optional().describe("With `header`: the value's first word, compared without case."),
    pair: z
      .array(headerName())
      .length(2)
      .optional()
      .describe('Two headers: the id of the key, and the key itself as its secret.'),
    basic: z.literal(true).optional().describe('`Authorization: Basic`: the id as the user, the key as the password.'),
    cookie: token.optional().describe('A cookie.'),
    query: z.string().min(1).optional().describe('A parameter of the query; needs `allowQuery`.'),
    allowQuery: z
      .boolean()
      .default(false)
      .describe('Keys may stand in the query, where logs, histories and `Referer` pick them up.'),
  })
  .describe('Where a key may stand.');

const needed = {
  jwt: z
    .union([z.literal(true), names])
    .optional()
    .describe('A token of one of these configurations; `true`: of any that counts on this host.'),
  keys: z.literal(true).optional().describe('An API key or service token.'),
  certificate: z
    .union([z.literal(true), names])
    .optional()
    .describe('A verified client certificate of one of these authorities; `true`: of any that the host trusts.'),
};

const more = {
  scopes: names.optional().describe('All of them, of the token and of the key.'),
  roles: names.optional().describe('One of them, of the token.'),
  claims: claims()
    .optional()
    .describe("What the token's claims have to be: a value, one of several, or `true` for any."),
};

const alternative = z.strictObject({ ...needed, ...more }).describe('All of what is named.');
const require = oneOrMany(alternative);

const operation = z
  .strictObject({
    public: z
      .boolean()
      .optional()
      .describe(
        '`true`: nothing is required, whatever the description says. `false`: what the description leaves open is not.',
      ),
    action: action.optional().describe('Instead of what is said further out.'),
    require: require.optional().describe('Instead of what the description says.'),
    scopes: names.optional().describe('Beside what else is required: all of them, of the token or the key.'),
    roles: names.optional().describe('Beside what else is required: one of them, of the token.'),
    claims: claims().optional().describe('Beside what else is required of the token.'),
  })
  .describe('One operation.');

const session = z
  .strictObject({
    jwt: z.string().min(1).optional().describe('A claim of the verified token, such as `sub`.'),
    keys: z.literal(true).optional().describe('The key.'),
    certificate: z.literal(true).optional().describe('The verified client certificate.'),
    header: headerName().optional().describe('A header, as the client sends it.'),
    cookie: token.optional().describe('A cookie, as the client sends it.'),
  })
  .describe('One thing that a session can be told by.');

export const credentials = z
  .strictObject({
    action: action
      .default('block')
      .describe(
        'What happens to a request without the credential that its operation requires. `log` records and lets through, `off` does not hold it against the request.',
      ),
    jwt: oneOrMany(z.string())
      .optional()
      .describe('Names of the token configurations that count here; all of them unless given.'),
    keys: z
      .array(place)
      .optional()
      .describe(
        'Where API keys and service tokens are looked for. Unless given: where the description says; if it does not and keys are required somewhere, `X-API-Key`, `Authorization: Bearer` and the pair `CF-Access-Client-Id`, `CF-Access-Client-Secret`.',
      ),
    schemes: z
      .record(z.string(), z.union([z.literal('never'), z.strictObject(needed)]))
      .default({})
      .describe(
        "What the description's `securitySchemes` mean here, by name; guessed when only one thing can be meant. `never`: alternatives with this scheme do not count.",
      ),
    require: require
      .optional()
      .describe(
        'What is required where the description says nothing, and of requests that match no operation. A list is any of, a map all of. Unless given: any one token or key that counts here.',
      ),
    operations: z
      .record(z.string(), operation)
      .default({})
      .describe('Single operations, by `operationId` or `METHOD /path`.'),
    session: z
      .array(session)
      .default([])
      .describe('What identifies a session; the first that a request has. Only a keyed hash of it is kept.'),
    claims: z
      .record(z.string(), z.string().min(1))
      .default({})
      .describe(
        'Headers that tell the origin claims of the verified token. What clients send under these names is removed.',
      ),
    partnerHeader: headerName()
      .optional()
      .describe("A header that tells the origin the partner's name. What clients send under this name is removed."),
    strip: z
      .boolean()
      .default(false)
      .describe('Whether the credential that counted is removed before the origin sees the request.'),
  })
  .describe('Which credential the operations of this host require. Without it none is asked for.');

export type Credentials = z.output<typeof credentials>;
export type Place = z.output<typeof place>;
export type Alternative = z.output<typeof alternative>;
export type Operation = z.output<typeof operation>;
