import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makeContexts } from '../../src/accept/tls/contexts.js';
import { tlsFiles } from '../../src/accept/tls/files.js';
import type { Stored } from '../../src/check/mtls/stored.js';
import { load, type Parts } from '../../src/config/load.js';
import { inOrder, render } from '../../src/config/problem.js';
import { Names } from '../../src/forward/origins/refresh.js';
import { check } from '../../src/manage/cli/check.js';
import { type Folder, GOOD, makeFolder } from './folder.js';

let folder: Folder;
let addresses: Record<string, string[]>;
const lookups = { env: {}, resolve: async (name: string) => addresses[name] ?? [] };
beforeEach(() => {
  folder = makeFolder();
  addresses = { 'orders.internal': ['10.0.0.7', 'fd00::7'] };
});
afterEach(() => folder.remove());

async function parts(text: string): Promise<Parts> {
  const { parts, remarks } = await load(folder.write('portcullis.yaml', text), lookups);
  expect(remarks).toEqual([]);
  return parts as Parts;
}

describe('what the store adds', () => {
  const pem = () => readFileSync(join(folder.path, 'pki/ca.pem'), 'utf8').trim();
  const devices = () => ({
    ...{ name: 'devices', certificates: pem(), intermediates: '' },
    revocation: { stale: 'hard' as const, grace_s: 0, fetch: false, ocsp: false },
  });
  const rule = { host: 'api.example.com', path: '/', mode: 'require' as const, action: 'log' as const };
  const withStore = async (text: string, stored: Stored) => {
    const hostedNames: string[] = [];
    const loaded = await load(folder.write('portcullis.yaml', text), {
      ...lookups,
      stored: async (_, hosted) => {
        hostedNames.push(...hosted);
        return stored;
      },
    });
    return { ...loaded, hostedNames, told: loaded.remarks.map(({ severity, message }) => `${severity}: ${message}`) };
  };

  test('are the certificates of hosted authorities, and authorities that the file does not name', async () => {
    const text = GOOD.replace('authorities:\n', 'authorities:\n  devices: { hosted: true }\n');
    const stored = { authorities: [devices(), { ...devices(), name: 'made-by-api' }], rules: [], sessionKey: '' };
    const { parts, told, hostedNames } = await withStore(text, stored);
    expect(told).toEqual([]);
    expect(hostedNames).toEqual(['devices']);
    expect(parts?.policy.authorities).toMatchObject([
      { name: 'devices', hosted: true, certificates: pem() },
      { name: 'partners', hosted: false },
      { name: 'made-by-api', hosted: true, certificates: pem() },
    ]);
  });

  test('are rules in front of what the file says of the same host and path', async () => {
    const text = GOOD.replace('trust: [partners]', 'trust: [partners], paths: { /open: "off", /v2/: require }');
    const rules = [
      { ...rule, trust: ['devices'] },
      { ...rule, path: '/v2', mode: 'request' as const, action: 'block' as const, trust: ['devices'] },
    ];
    const { parts, told } = await withStore(text, { authorities: [devices()], rules, sessionKey: '' });
    expect(told).toEqual([]);
    expect(parts?.policy.hosts[0]?.mtls).toMatchObject({
      ...{ mode: 'require', action: 'log', trust: ['devices'] },
      paths: [
        { prefix: '/open', mode: 'off', action: 'block', trust: ['partners'] },
        { prefix: '/v2', mode: 'request', action: 'block', trust: ['devices'] },
      ],
    });
  });

  test('is never another authority of the same name', async () => {
    const stored = { authorities: [{ ...devices(), name: 'partners' }], rules: [], sessionKey: '' };
    expect((await withStore(GOOD, stored)).told).toEqual([
      'problem: the store keeps an authority called `partners` as well',
    ]);
  });

  test('does not keep a gateway from starting when the configuration has moved on', async () => {
    const rules = [
      { ...rule, trust: ['gone'] },
      { ...rule, host: 'old.example.com', path: '/v1', trust: ['partners'] },
    ];
    const { parts, told } = await withStore(GOOD, { authorities: [], rules, sessionKey: '' });
    expect(told).toEqual([
      'warning: a rule of the admin API trusts `gone`, which is not there: it lets nobody in',
      'warning: a rule of the admin API is for old.example.com/v1, which is not served',
    ]);
    expect(parts?.policy.authorities.at(-1)).toMatchObject({ name: 'gone', certificates: '' });
  });

  test('is looked up for a configuration without problems only', async () => {
    const stored = async () => expect.fail('a configuration that is refused leaves no store behind');
    const file = folder.write('portcullis.yaml', GOOD.replace('mode: require', 'mode: requrie'));
    await load(file, { ...lookups, stored });
  });
});

describe('the policy', () => {
  test('is what the engine takes', async () => {
    const { policy } = await parts(`${GOOD}lists: { desks: [10.0.0.0/8] }
rules: [{ name: a, expression: 'http.host eq "x"', action: log, description: gone }]
`);
    expect(policy).toEqual({
      authorities: [
        {
          name: 'partners',
          at: '/authorities/partners',
          hosted: false,
          certificates: expect.any(String),
          intermediates: '',
          crls: [],
          revocation: { stale: 'hard', grace_s: 0, fetch: false, ocsp: false },
        },
      ],
      jwt: [],
      session_key: '',
      limits: {
        rules: [],
        entries: 1_048_576,
        allow_uncounted: false,
        headers: false,
        allow_identities: false,
        quotas: { mode: 'local', fallback: 'local', advance: 10 },
        shared: { prefix: 'portcullis', cluster: false },
      },
      lists: [{ name: 'desks', at: '/lists/desks', items: ['10.0.0.0/8'] }],
      rules: [{ name: 'a', at: '/rules/0/expression', expression: 'http.host eq "x"', action: 'log' }],
      origins: [
        {
          addresses: ['127.0.0.1:3000'],
          connections: 256,
          connect_timeout_ms: 2_000,
          first_byte_timeout_ms: 30_000,
          idle_timeout_ms: 60_000,
        },
      ],
      hosts: [
        {
          name: 'api.example.com',
          at: '/hosts/api.example.com',
          origin: 0,
          mtls: {
            mode: 'require',
            action: 'block',
            trust: ['partners'],
            paths: [],
            forward: [],
            by: [],
            own: { renew: false, est: false },
          },
          openapi: null,
          grpc: null,
          credentials: null,
          max_body_bytes: 10 * 2 ** 20,
        },
      ],
    });
  });

  test('says for each path what holds there, of the host where nothing else is said', async () => {
    const { policy, tls } = await parts(
      GOOD.replace(
        'mode: require, trust: [partners]',
        `mode: "off", action: log, trust: [], own: { est: true },
      paths: { /open: request, /v2: { trust: [partners] }, /v3: { mode: require, action: block, trust: [partners] } }`,
      ).replace('/open: request', '/open: "off"'),
    );
    expect(policy.hosts[0]?.mtls).toMatchObject({
      own: { renew: false, est: true },
      paths: [
        { prefix: '/open', mode: 'off', action: 'log', trust: null },
        { prefix: '/v2', mode: 'off', action: 'log', trust: ['partners'] },
        { prefix: '/v3', mode: 'require', action: 'block', trust: ['partners'] },
      ],
    });
    // TLS has to know whom any path trusts.
    expect(tls[0]?.clientAuthorities).toHaveLength(1);
  });

  test('carries how the state of certificates becomes known', async () => {
    const authority = async (written: string) =>
      (await parts(GOOD.replace('authorities:\n', `authorities:\n  devices: ${written}\n`))).policy.authorities[0];
    expect(await authority('{ hosted: true }')).toMatchObject({
      hosted: true,
      certificates: '',
      revocation: { stale: 'hard', grace_s: 0, fetch: false, ocsp: false },
    });
    const revocation = '{ fetch: true, ocsp: true, stale: grace, grace: 90m }';
    expect(await authority(`{ hosted: true, revocation: ${revocation} }`)).toMatchObject({
      revocation: { stale: 'grace', grace_s: 5_400, fetch: true, ocsp: true },
    });
    const unsaid = await authority('{ hosted: true, revocation: { ocsp: true, stale: grace } }');
    expect(unsaid).toMatchObject({ revocation: { grace_s: 3_600 } });
  });

  test.each([
    ['{}', 'no certificates'],
    ['{ hosted: true, certificates: pki/ca.pem }', 'a hosted authority has its certificates in the store'],
    ['{ hosted: true, revocation: { stale: soft } }', 'nothing says which certificates have been taken back'],
  ])('refuses the authority %s', async (written, message) => {
    const text = GOOD.replace('authorities:\n', `authorities:\n  devices: ${written}\n`);
    const { remarks } = await load(folder.write('portcullis.yaml', text), lookups);
    expect(remarks.map(remark => remark.message)).toEqual([message]);
  });

  test('has one origin for hosts that share it, and all addresses of a name', async () => {
    const host = (name: string, origin: string) =>
      `  ${name}.wild.example.com: { tls: { certificate: pki/server.pem, key: pki/server.key }, mtls: { mode: off }, origin: "${origin}" }\n`;
    const { policy } = await parts(
      `hosts:\n${host('a', 'http://orders.internal')}${host('b', 'http://orders.internal:80')}${host('c', 'http://[::1]:81')}`,
    );
    expect(policy.origins.map(({ addresses }) => addresses)).toEqual([['10.0.0.7:80', '[fd00::7]:80'], ['[::1]:81']]);
    expect(policy.hosts.map(({ origin }) => origin)).toEqual([0, 0, 1]);
  });

  test('follows names whose addresses change, and keeps those of names that fail', async () => {
    const names = new Names(lookups.resolve);
    const text = GOOD.replace('http://127.0.0.1:3000', 'http://orders.internal:1');
    const loaded = await load(folder.write('portcullis.yaml', text), { env: {}, resolve: names.resolve });
    expect(await names.again()).toEqual({ changed: [], failed: [] });
    addresses['orders.internal'] = ['10.0.0.8'];
    expect(await names.again()).toEqual({ changed: ['orders.internal'], failed: [] });
    addresses = {};
    expect(await names.again()).toEqual({ changed: [], failed: ['orders.internal'] });
    const policy = await loaded.parts?.resolved(names.remembered);
    expect(policy?.origins[0]?.addresses).toEqual(['10.0.0.8:1']);
  });
});

describe('TLS contexts', () => {
  const two = `${GOOD}  localhost:
    tls: { certificate: pki/server.pem, key: pki/server.key }
    mtls: { mode: off }
    origin: http://127.0.0.1:3000
`;
  let own: string;
  beforeEach(() => {
    own = mkdtempSync(join(tmpdir(), 'portcullis-test-own-'));
  });
  afterEach(() => rmSync(own, { recursive: true }));

  test('all have authorities once one host wants certificates', async () => {
    const { tls } = makeContexts((await parts(two)).tls, own);
    const file = tls.fallback.clientAuthorities as string;
    expect(readFileSync(file, 'utf8')).toBe(readFileSync(join(folder.path, 'pki/ca.pem'), 'utf8'));
    expect(tls.hosts.map(({ clientAuthorities }) => clientAuthorities)).toEqual([file, file]);
  });

  test('of HTTP/2 ask for what each host wants, and for nothing where it wants nothing', async () => {
    const { tls } = makeContexts((await parts(two)).tls, own);
    const file = tls.fallback.clientAuthorities;
    expect([tls.fallback, ...tls.hosts].map(({ wanted }) => wanted)).toEqual([file, file, null]);
    const { fallback, hosts } = tlsFiles(tls);
    const text = (name: string) => readFileSync(join(folder.path, name), 'utf8');
    const shown = { certificate: text('pki/server.pem'), key: text('pki/server.key') };
    const authorities = text('pki/ca.pem');
    expect(fallback).toEqual({ host: 'api.example.com', ...shown, authorities });
    expect(hosts).toEqual([
      { host: 'api.example.com', ...shown, authorities },
      { host: 'localhost', ...shown },
    ]);
  });

  test('have none when no host does', async () => {
    const off = two.replace('mode: require, trust: [partners]', 'mode: off');
    const { tls } = makeContexts((await parts(off)).tls, own);
    expect(tls.fallback.clientAuthorities).toBeNull();
    expect(readdirSync(own)).toEqual([]);
  });

  test('keep their paths while the authorities stay the same, and sweep what is no longer used', async () => {
    const before = makeContexts((await parts(two)).tls, own);
    expect(makeContexts((await parts(two)).tls, own)).toMatchObject({ tls: before.tls, digest: before.digest });
    const other = two.replace(
      'certificates: pki/ca.pem',
      'certificates: pki/ca.pem, intermediates: pki/intermediate.pem',
    );
    const after = makeContexts((await parts(other)).tls, own);
    expect(after.digest).not.toBe(before.digest);
    expect(readdirSync(own)).toHaveLength(2);
    after.sweep();
    expect(readdirSync(own)).toHaveLength(1);
  });
});

describe('problems of the engine', () => {
  const compile = (problems: object[]) => () => JSON.stringify({ generation: 1, problems });

  test('point at the column inside an expression', async () => {
    const file = folder.write(
      'portcullis.yaml',
      `${GOOD}rules:
  - name: a
    action: block
    expression: |
      http.host eq "x"
      and http.hots eq "y"
`,
    );
    const problem = {
      at: '/rules/0/expression',
      span: [21, 30],
      message: 'unknown field',
      hint: 'did you mean `http.host`?',
    };
    const { remarks, policy } = await check(file, compile([problem]), lookups);
    const [remark] = remarks;
    expect(policy).toBeNull();
    expect(remark && render(remark)).toBe(
      [
        `${file}:15:11: unknown field`,
        '  15 |       and http.hots eq "y"',
        '     |           ^^^^^^^^^',
        '     = did you mean `http.host`?',
      ].join('\n'),
    );
  });

  test('keep their places when a rule before them is left out', async () => {
    const file = folder.write(
      'portcullis.yaml',
      `${GOOD}rules:\n  - { name: a, action: blok, expression: x }\n  - { name: b, action: log, expression: bad }\n`,
    );
    const seen: string[] = [];
    const { remarks } = await check(
      file,
      policy => {
        seen.push(...JSON.parse(policy).rules.map(({ name }: { name: string }) => name));
        return JSON.stringify({ generation: 0, problems: [{ at: '/rules/0/expression', message: 'unknown field' }] });
      },
      lookups,
    );
    expect(seen).toEqual(['b']);
    expect(remarks.map(({ place }) => [place.line, place.column])).toEqual([
      [11, 24],
      [12, 41],
    ]);
  });

  test('that only echo a problem found before are not told', async () => {
    const file = folder.write('portcullis.yaml', GOOD.replace('pki/ca.pem', 'pki/missing.pem'));
    const { remarks } = await check(
      file,
      compile([{ at: '/authorities/partners', message: 'no certificate' }]),
      lookups,
    );
    expect(remarks.map(({ message }) => message)).toEqual(['the file does not exist']);
  });
});

test('the same problem is told once', () => {
  const place = { file: 'a', line: 1, column: 1, width: 1, text: '' };
  const problem = { severity: 'problem' as const, place, message: 'x' };
  expect(inOrder([problem, { ...problem }])).toHaveLength(1);
});

test('nothing that came from a file reaches the terminal as a control character', () => {
  const place = { file: 'a', line: 1, column: 1, width: 1, text: 'a\u001b[2Jb' };
  const shown = render({ severity: 'problem', place, message: 'found \u0007' });
  expect(shown).not.toContain('\u0007');
  expect(shown).not.toContain('\u001b');
});
