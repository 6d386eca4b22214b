// Tokens of a provider whose keys are fetched, over a whole gateway: keys that come and go, tokens that are taken back, and
// a provider that is down.

import { expect, test } from 'vitest';
import { commandLine } from '../support/command.js';
import { startFront } from '../support/front.js';
import { ask } from '../support/https.js';
import { httpOrigin } from '../support/origin.js';
import { provider, sends } from '../support/provider.js';
import { tokenIssuer } from '../support/tokens.js';
import { until } from '../support/waiting.js';

const HOST = 'api.test';
const ISSUER = 'https://login.test/';

const origin = await httpOrigin();
const from = await provider();
const [old, fresh] = [tokenIssuer(ISSUER, 'orders'), tokenIssuer(ISSUER, 'orders')];
const publish = (...issuers: (typeof old)[]) => {
  from.answer = sends(JSON.stringify({ keys: issuers.flatMap(({ keys }) => keys.keys) }));
};
publish(old);

const customers = (path = '') => ({
  issuer: ISSUER,
  audiences: ['orders'],
  algorithms: ['ES256'],
  keys: { url: `${from.url}${path}`, ca: 'provider.pem', cooldown: '1s', allowPrivateAddresses: true },
});
const { gateway, caller } = await startFront(
  { [HOST]: { origin: origin.url, mtls: { mode: 'off' }, credentials: { require: [{ jwt: 'customers' }] } } },
  { files: { 'provider.pem': from.ca }, config: { jwt: { customers: customers() } } },
);
const portcullis = commandLine(gateway, gateway.folder);

const reasonFor = async (token: string): Promise<string> => {
  const { status, body } = await ask(caller(HOST, null), '/', { headers: { authorization: `Bearer ${token}` } });
  return status === 200 ? 'passes' : `${status} ${JSON.parse(body).reason}`;
};
// biome-ignore lint/suspicious/noExplicitAny: the API's JSON, which the tests look into
const send = async (method: string, path: string, body?: object): Promise<any> => {
  const json = body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  return await (await gateway.ask(`/admin/v1${path}`, { method, ...json })).json();
};
const alice = { sub: 'alice', jti: 'a-1' };

test('the first request finds the keys there', async () => {
  expect(await reasonFor(old.token(alice))).toBe('passes');
  expect(from.asked).toHaveLength(1);
  expect(await portcullis('jwt', 'show', 'customers')).toContain(old.keys.keys[0]?.kid);
});

test('a key that is new to the set is there soon after the first token that it signed', async () => {
  publish(old, fresh);
  const token = fresh.token(alice);
  expect(await reasonFor(token)).toBe('401 jwt.key');
  await until(async () => (await reasonFor(token)) === 'passes', 3_000);
  expect(await reasonFor(old.token(alice))).toBe('passes');
});

test('tokens of keys that do not exist have the set fetched once per cooldown', async () => {
  const stranger = tokenIssuer(ISSUER, 'orders');
  const before = from.asked.length;
  const began = Date.now();
  while (Date.now() - began < 3_000) expect(await reasonFor(stranger.token(alice))).toBe('401 jwt.key');
  // One a second, and the one before it may have been asked for already.
  expect(from.asked.length - before).toBeLessThanOrEqual(4);
  expect(from.asked.length - before).toBeGreaterThanOrEqual(2);
});

test('what a withdrawn key signed is refused with the first request after the refresh, though it was known', async () => {
  const token = old.token(alice);
  expect(await reasonFor(token)).toBe('passes');
  publish(fresh);
  await send('POST', '/jwt/customers/refresh');
  expect(await reasonFor(token)).toBe('401 jwt.key');
  expect(await reasonFor(fresh.token(alice))).toBe('passes');
});

test('a subject, or one token, is refused as soon as it was taken back, and passes once it is restored', async () => {
  const [one, other, bob] = [
    fresh.token(alice),
    fresh.token({ sub: 'alice', jti: 'a-2' }),
    fresh.token({ sub: 'bob' }),
  ];
  for (const token of [one, other, bob]) expect(await reasonFor(token)).toBe('passes');
  const first = await send('POST', '/jwt/customers/revocations', { kind: 'jti', value: 'a-1' });
  expect([await reasonFor(one), await reasonFor(other)]).toEqual(['401 jwt.revoked', 'passes']);
  const second = await send('POST', '/jwt/customers/revocations', { kind: 'subject', value: 'alice' });
  expect([await reasonFor(other), await reasonFor(bob)]).toEqual(['401 jwt.revoked', 'passes']);
  for (const { id } of [first, second]) await send('DELETE', `/jwt/customers/revocations/${id}`);
  for (const token of [one, other]) expect(await reasonFor(token)).toBe('passes');
});

test('inspection says of each step what a request would meet, and the log nothing of the token', async () => {
  const token = fresh.token({ ...alice, aud: 'others' });
  const inspect = (token: string) => send('POST', '/jwt/customers/inspect', { token });
  const denied = await inspect(token);
  expect(denied).toMatchObject({ accepted: false, reason: 'jwt.audience', claims: { sub: 'alice' } });
  expect(denied.steps).toContainEqual(expect.objectContaining({ step: 'signature', ok: true }));
  expect(denied.steps).toContainEqual(expect.objectContaining({ step: 'audience', ok: false }));
  expect(await inspect(fresh.token(alice))).toMatchObject({ accepted: true, reason: null });
  const audit = await (await gateway.ask('/admin/v1/audit?limit=1000')).text();
  for (const written of [gateway.log, audit]) expect(written).not.toContain(token.slice(0, 40));
});

test('another URL for the same configuration is fetched before it comes into force', async () => {
  const token = fresh.token(alice);
  const said = new Set<string>();
  let going = true;
  const callers = (async () => {
    while (going) said.add(await reasonFor(token));
  })();
  const before = from.asked.length;
  gateway.writeConfig({ jwt: { customers: customers('moved') } });
  await gateway.counted('portcullis_config_reloads_total', 1, 'result="applied"');
  going = false;
  await callers;
  expect([...said]).toEqual(['passes']);
  expect(from.asked.slice(before).filter(({ url }) => url === '/moved')).toHaveLength(1);
});

test('a gateway that starts while the provider is down goes on with the last good set', async () => {
  from.answer = (_, response) => response.writeHead(503).end();
  const before = gateway.pid;
  process.kill(before, 'SIGKILL');
  await until(() => gateway.pid !== before);
  await gateway.ready();
  expect(await reasonFor(fresh.token(alice))).toBe('passes');
  expect(await portcullis('jwt', 'list')).toContain('failing');
  expect(await gateway.count('portcullis_jwt_key_set_last_fetch_successful')).toBe(0);
});

test('a configuration whose keys were never there is answered 503, and only that one', async () => {
  gateway.writeConfig({ jwt: { customers: customers('elsewhere') } });
  await gateway.counted('portcullis_config_reloads_total', 1, 'result="applied"');
  expect(await reasonFor(fresh.token(alice))).toBe('503 jwt.no_keys');
  await gateway.logged('key sets are not there yet');
  publish(fresh);
  await until(async () => (await reasonFor(fresh.token(alice))) === 'passes', 10_000);
});
