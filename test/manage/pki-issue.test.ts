import { X509Certificate } from 'node:crypto';
import { unzipSync } from 'fflate';
import { expect, test } from 'vitest';
import { device, judged, openssl, stand } from '../support/pki-stand.js';
import { describeStores } from '../support/stores.js';

const DAY = 86_400_000;

describeStores('issuing', newPlace => {
  const start = async (authority = {}, settings = {}, parts = {}) => {
    const made = await stand(await newPlace(), settings, parts);
    expect((await made.ask('POST', '/pki/authorities', { name: 'devices', ...authority })).status).toBe(201);
    const issue = (body: object) => made.ask('POST', '/pki/certificates', { authority: 'devices', ...body });
    return { ...made, issue };
  };

  test('makes key and certificate, shows the key once, and keeps the certificate', async () => {
    const { ask, issue, store } = await start({}, { url: 'https://pki.test/crls' });
    const names = { dns: ['sensor-1.test'], uri: ['spiffe://example.org/sensor-1'], email: ['a@b.test'], ip: ['::1'] };
    const made = await issue({ name: 'sensor-1', ...names, partner: 'Example, Inc.' });
    expect(made).toMatchObject({
      status: 201,
      body: { name: 'sensor-1', subject: 'CN=sensor-1', ...names, status: 'valid', dropped: [], warnings: [] },
    });
    expect(made.headers.get('location')).toBe(`/admin/v1/pki/certificates/${made.body.fingerprint}`);
    const certificate = new X509Certificate(made.body.certificate);
    expect(certificate.fingerprint256.replaceAll(':', '').toLowerCase()).toBe(made.body.fingerprint);
    expect(certificate.serialNumber).toBe(made.body.serial);
    expect(Date.parse(made.body.not_after)).toBeCloseTo(Date.now() + 90 * DAY, -5);
    const text = openssl(['x509', '-noout', '-text'], {}, made.body.certificate).toString();
    expect(text).toContain('TLS Web Client Authentication');
    expect(text).not.toContain('TLS Web Server Authentication');
    expect(text).toContain(`https://pki.test/crls/crl/${made.body.key_id}.crl`);
    expect(text).toContain('OCSP - URI:https://pki.test/crls/ocsp');
    const { body: pem } = await ask('GET', '/pki/authorities/devices/certificates');
    expect(judged(made.body.certificate, pem)).toBe('');
    const publicKey = openssl(['pkey', '-pubout'], {}, made.body.key).toString();
    expect(certificate.publicKey.export({ type: 'spki', format: 'pem' })).toBe(publicKey);
    const shown = await ask('GET', `/pki/certificates/${made.body.fingerprint}`);
    expect(shown.body).toMatchObject({ certificate: made.body.certificate, partner: 'Example, Inc.' });
    const everything = [
      JSON.stringify(shown.body),
      JSON.stringify(await store.db.selectFrom('certificates').selectAll().execute()),
      JSON.stringify(await store.db.selectFrom('audit').selectAll().execute()),
    ].join('');
    expect(everything).not.toContain('PRIVATE');
    expect(everything).toContain('"action":"pki.certificate.issue"');
  });

  test('from a request takes the key, and the names that the profile lets it name', async () => {
    const { issue } = await start();
    const { csr, key } = device('/CN=sensor-1', ['subjectAltName=DNS:sensor-1']);
    const made = await issue({ name: 'sensor-1', csr });
    expect(made).toMatchObject({ status: 201, body: { key: null, dns: ['sensor-1'], dropped: [] } });
    const publicKey = openssl(['pkey', '-pubout'], {}, key).toString();
    expect(new X509Certificate(made.body.certificate).publicKey.export({ type: 'spki', format: 'pem' })).toBe(
      publicKey,
    );
    const der = openssl(['req', '-outform', 'DER'], {}, csr).toString('base64');
    expect((await issue({ name: 'sensor-1', csr: der })).status).toBe(201);
  });

  test('refuses what a request asks for beyond the profile, or drops it and tells', async () => {
    const { issue } = await start();
    const { csr } = device('/C=DE/O=Somebody/CN=admin', [
      'subjectAltName=DNS:admin.example.com,DNS:*.sensor,URI:spiffe://example.org/admin,RID:1.2.3',
      'basicConstraints=critical,CA:TRUE',
      'keyUsage=keyCertSign',
      'extendedKeyUsage=serverAuth,clientAuth',
      '1.2.3.4=ASN1:UTF8:anything',
    ]);
    const refused = await issue({ name: 'sensor', csr });
    expect(refused.status).toBe(422);
    for (const part of [
      'subject CN=admin',
      'dns:admin.example.com',
      'dns:*.sensor',
      'uri:spiffe',
      'usage serverAuth',
      '1.2.3.4',
    ]) {
      expect(refused.body.title).toContain(part);
    }
    const made = await issue({ name: 'sensor', csr, allow_dropping: true });
    expect(made).toMatchObject({ status: 201, body: { subject: 'CN=sensor', dns: [], uri: [] } });
    expect(made.body.dropped).toContain('subject O=Somebody');
    const text = openssl(['x509', '-noout', '-text'], {}, made.body.certificate).toString();
    expect(text).toContain('CA:FALSE');
    expect(text).not.toMatch(/Server Auth|Certificate Sign|1\.2\.3\.4|admin/);
  });

  test('by a profile: its patterns, templates, subject, usages and validity', async () => {
    const meter = {
      validity: '1y',
      max_validity: '5y',
      usages: ['clientAuth', 'serverAuth'],
      key_types: ['P-256', 'P-384'],
      subject: { organization: 'Example', country: 'DE' },
      names: { dns: ['*.meters.test'], uri: ['spiffe://example.org/meter/*'] },
      requested: { dns: ['{name}.meters.test'] },
      always: { uri: ['spiffe://example.org/{name}'] },
    };
    const { issue } = await start({ profiles: { meter } });
    const made = await issue({
      name: 'm1',
      profile: 'meter',
      dns: ['a.meters.test'],
      uri: ['spiffe://example.org/meter/7'],
    });
    expect(made.body).toMatchObject({
      subject: 'CN=m1,O=Example,C=DE',
      dns: ['a.meters.test'],
      uri: ['spiffe://example.org/m1', 'spiffe://example.org/meter/7'],
      profile: 'meter',
    });
    expect(new X509Certificate(made.body.certificate).keyUsage).toEqual(['1.3.6.1.5.5.7.3.2', '1.3.6.1.5.5.7.3.1']);
    expect(Date.parse(made.body.not_after)).toBeCloseTo(Date.now() + 365 * DAY, -5);
    const refusals: [object, RegExp][] = [
      [{ dns: ['a.b.meters.test'] }, /dns:a\.b\.meters\.test/],
      [{ dns: ['*.meters.test'] }, /dns:\*/],
      [{ uri: ['spiffe://example.org/meter/..'] }, /uri:/],
      [{ uri: ['spiffe://example.org/meter/a%2Fb'] }, /uri:/],
      [{ email: ['a@meters.test'] }, /email:/],
      [{ validity: '6y' }, /5y at most/],
      [{ profile: 'nothing' }, /no profile nothing/],
      [{ name: 'a/../admin' }, /cannot stand in uri:spiffe/],
      [{ csr: device('/CN=m1', [], 'rsa:2048').csr }, /RSA 2048/],
      [{ csr: device('/CN=m1', ['subjectAltName=DNS:m2.meters.test']).csr }, /dns:m2/],
    ];
    for (const [body, why] of refusals) {
      const refused = await issue({ name: 'm1', profile: 'meter', ...body });
      expect(refused.status).toBe(422);
      expect(refused.body.title).toMatch(why);
    }
    const own = await issue({
      name: 'm1',
      profile: 'meter',
      csr: device('/CN=m1', ['subjectAltName=DNS:m1.meters.test']).csr,
    });
    expect(own.body.dns).toEqual(['m1.meters.test']);
  });

  test('never outlives its authority', async () => {
    const { issue } = await start({ validity: '30d' });
    const made = await issue({ name: 'x', profile: 'device', validity: '10y' });
    expect(Date.parse(made.body.not_after)).toBeLessThan(Date.now() + 31 * DAY);
    expect(made.body.warnings[0]).toContain('It ends with its authority');
  });

  test('under name constraints is good within them', async () => {
    const { ask, issue } = await start({ name_constraints: { permitted: { dns: ['example.org'] } } });
    const { body: pem } = await ask('GET', '/pki/authorities/devices/certificates');
    expect(judged((await issue({ name: 'x', dns: ['a.example.org'] })).body.certificate, pem)).toBe('');
    const outside = await issue({ name: 'x', dns: ['example.com'] });
    expect(outside).toMatchObject({ status: 422, body: { title: expect.stringContaining('dns:example.com') } });
  });

  test('as PKCS#12 demands a password, and openssl opens it', async () => {
    const { issue, bytes, ask } = await start();
    expect(await issue({ name: 'phone', format: 'pkcs12' })).toMatchObject({
      status: 422,
      body: { errors: [{ pointer: '/password' }] },
    });
    expect((await issue({ name: 'phone', format: 'pkcs12', password: 'short' })).status).toBe(400);
    const { csr } = device('/CN=phone');
    expect((await issue({ name: 'phone', format: 'pkcs12', password: 'long enough', csr })).status).toBe(422);
    expect((await ask('GET', '/pki/certificates')).body.items).toEqual([]);
    for (const encryption of ['modern', 'legacy']) {
      const body = { authority: 'devices', name: 'phone', format: 'pkcs12', password: 'long enough', encryption };
      const made = await bytes('/pki/certificates', body);
      expect(made.status).toBe(201);
      expect(made.headers.get('content-type')).toBe('application/x-pkcs12');
      expect(made.headers.get('content-disposition')).toBe('attachment; filename="phone.p12"');
      const legacy = encryption === 'legacy' ? ['-legacy'] : [];
      const opened = openssl(['pkcs12', '-in', 'a.p12', '-passin', 'pass:long enough', '-nodes', ...legacy], {
        'a.p12': made.body,
      }).toString();
      expect(opened).toContain('PRIVATE KEY');
      expect(opened.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    }
    expect((await ask('GET', '/pki/certificates')).body.items).toHaveLength(2);
  });

  test('as a zip has everything and a README with the real hosts', async () => {
    const hosts = () => [
      { name: 'api.test', url: 'https://api.test:8443', trust: ['devices'] },
      { name: 'other.test', url: 'https://other.test', trust: ['partners'] },
    ];
    const { bytes } = await start({ intermediate: true }, {}, { hosts });
    const made = await bytes('/pki/certificates', {
      authority: 'devices',
      name: '../../Gerät "1"`',
      format: 'zip',
      password: 'long enough',
    });
    expect(made.headers.get('content-type')).toBe('application/zip');
    const files = unzipSync(made.body);
    const name = 'Gera_t_1';
    expect(Object.keys(files).sort()).toEqual(
      [`${name}-chain.pem`, `${name}.key`, `${name}.p12`, `${name}.pem`, 'README.md', 'authority.pem'].sort(),
    );
    const readme = Buffer.from(files['README.md'] ?? []).toString();
    for (const part of [
      'curl',
      'Node.js',
      'requests',
      'httpx',
      '## Go',
      'KeyChain',
      'SecPKCS12Import',
      'mosquitto',
      'ESP-IDF',
    ]) {
      expect(readme).toContain(part);
    }
    expect(readme).toContain(`curl --cert ${name}-chain.pem --key ${name}.key https://api.test:8443/`);
    expect(readme).not.toContain('other.test');
    expect(
      Buffer.from(files[`${name}-chain.pem`] ?? [])
        .toString()
        .match(/BEGIN CERT/g),
    ).toHaveLength(2);
    expect(
      Buffer.from(files['authority.pem'] ?? [])
        .toString()
        .match(/BEGIN CERT/g),
    ).toHaveLength(2);
    expect(Buffer.from(files[`${name}.key`] ?? []).toString()).toContain('BEGIN PRIVATE KEY');
  });

  test('of names that break lines or hide is refused; commas are names like any other', async () => {
    const { issue } = await start();
    for (const name of ['a\0b', 'a\nb', 'a\rb', 'a\u202eb', '', ' a', 'a'.repeat(65)]) {
      expect([400, 422]).toContain((await issue({ name })).status);
    }
    for (const names of [
      { dns: ['a\0.test'] },
      { uri: ['spiffe://a/\nb'] },
      { email: ['a\n@b.test'] },
      { ip: ['1.2.3'] },
    ]) {
      const refused = await issue({ name: 'a', ...names });
      expect([400, 422]).toContain(refused.status);
    }
    const made = await issue({ name: 'Example, Inc. + "x" <y>;\\' });
    expect(made).toMatchObject({ status: 201, body: { subject: 'CN=Example\\, Inc. \\+ \\"x\\" \\<y\\>\\;\\\\' } });
  });

  test.each([
    ['a bad signature', (good: string) => flipped(good), /signature/i],
    ['a weak key', () => device('/CN=a', [], 'rsa:1024').csr, /1024/],
    ['a line break in its name', () => device('/CN=a\nb').csr, /U\+000A/],
    ['an unknown critical extension', () => device('/CN=a', ['1.2.3.4=critical,ASN1:NULL']).csr, /1\.2\.3\.4/],
    ['200 alternative names', () => device('/CN=a', [`subjectAltName=${many(200)}`]).csr, /200 alternative names/],
    ['nothing in it', () => 'nonsense', /./],
  ])('refuses a request with %s', async (_, csr, why) => {
    const { issue, ask } = await start();
    const refused = await issue({ name: 'a', csr: csr(device('/CN=a').csr), allow_dropping: true });
    expect(refused.status).toBe(422);
    expect(refused.body.title).toMatch(why);
    expect((await ask('GET', '/pki/certificates')).body.items).toEqual([]);
    expect((await issue({ name: 'a', csr: device('/CN=a').csr })).status).toBe(201);
  });

  test('refuses a request with a megabyte of names before it is read', async () => {
    const { issue } = await start();
    const { csr } = device('/CN=a', [`subjectAltName=${many(40_000)}`]);
    expect(csr.length).toBeGreaterThan(900_000);
    const refused = await issue({ name: 'a', csr });
    expect([400, 413]).toContain(refused.status);
  });

  test('is found by authority, name, subject, serial, fingerprint, partner, standing and end', async () => {
    const { ask, issue, store, clock } = await start();
    const made = [];
    for (const name of ['alpha', 'alps', 'beta'])
      made.push((await issue({ name, partner: `of ${name}`, validity: '10d' })).body);
    const [alpha, alps, beta] = made;
    await store.write(['revocations'], async (tx, { revocations: revision }) => {
      const row = { authority: null, reason: 'keyCompromise', at: Date.now(), by: 'test', revision };
      const [serial, fingerprint] = [`${alpha.key_id}:${alpha.serial}`, `sha256:${beta.fingerprint}`];
      const none = { key_id: null, serial: null, fingerprint: null };
      await tx
        .insertInto('revocations')
        .values({ ...row, ...none, id: serial, state: 'revoked' })
        .execute();
      await tx
        .insertInto('revocations')
        .values({ ...row, ...none, id: fingerprint, state: 'held' })
        .execute();
    });
    const found = async (query: string) => {
      const { body } = await ask('GET', `/pki/certificates?${query}`);
      return body.items.map((item: { name: string }) => item.name).sort();
    };
    expect(await found('')).toEqual(['alpha', 'alps', 'beta']);
    expect(await found('authority=devices&name=al')).toEqual(['alpha', 'alps']);
    expect(await found('authority=others')).toEqual([]);
    expect(await found('subject=CN%3Dbeta')).toEqual(['beta']);
    expect(await found(`serial=${alps.serial.toLowerCase()}`)).toEqual(['alps']);
    expect(await found(`fingerprint=${alps.fingerprint}`)).toEqual(['alps']);
    expect(await found('partner=of%20beta')).toEqual(['beta']);
    expect(await found('status=revoked')).toEqual(['alpha']);
    expect(await found('status=held')).toEqual(['beta']);
    expect(await found('status=valid')).toEqual(['alps']);
    expect(await found(`expiring_before=${new Date(Date.now() + 9 * DAY).toISOString()}`)).toEqual([]);
    expect(await found(`expiring_before=${new Date(Date.now() + 11 * DAY).toISOString()}`)).toHaveLength(3);
    clock.ahead = 11 * DAY;
    expect(await found('status=expired')).toEqual(['alps']);
    const shown = await ask('GET', `/pki/certificates/${alpha.fingerprint}`);
    expect(shown.body).toMatchObject({ status: 'revoked', revocation: { state: 'revoked', reason: 'keyCompromise' } });
    expect((await ask('GET', `/pki/certificates/${'0'.repeat(64)}`)).status).toBe(404);
    const pages = [];
    let next = '';
    do {
      const { body } = await ask('GET', `/pki/certificates?limit=1${next && `&cursor=${next}`}`);
      pages.push(...body.items.map((item: { name: string }) => item.name));
      next = body.next;
    } while (next);
    expect(pages).toEqual(['beta', 'alps', 'alpha']);
  });

  test('is asked for in nonsense without harm', async () => {
    const { ask } = await start();
    const cursor = (key: unknown) => Buffer.from(JSON.stringify(key)).toString('base64url');
    for (const [path, status] of [
      ['/pki/certificates?subject=%00', 422],
      ['/pki/certificates?name=a%00', 422],
      ['/pki/certificates?partner=%0A', 422],
      ['/pki/certificates?subjekt=CN%3Dx', 400],
      [`/pki/certificates?cursor=${cursor([1, '\0'])}`, 422],
      [`/pki/authorities?cursor=${cursor('\0')}`, 422],
      [`/pki/enrolments?cursor=${cursor([1, '\0'])}`, 422],
      ['/pki/authorities/%00', 400],
      ['/pki/authorities/nobody', 404],
      ['/pki/authorities/nobody/retirement', 404],
      ['/pki/enrolments/000000000000', 404],
    ] as const) {
      expect([path, (await ask('GET', path)).status]).toEqual([path, status]);
    }
  });

  test('needs an operator; looking takes a viewer; authorities take an admin', async () => {
    const { ask } = await start();
    const body = { authority: 'devices', name: 'x' };
    expect((await ask('POST', '/pki/certificates', body, { role: 'viewer' })).status).toBe(403);
    expect((await ask('POST', '/pki/certificates', body, { role: 'operator' })).status).toBe(201);
    expect((await ask('GET', '/pki/certificates', undefined, { role: 'viewer' })).status).toBe(200);
    expect((await ask('POST', '/pki/authorities', { name: 'y' }, { role: 'operator' })).status).toBe(403);
  });
});

/** A request whose last byte, of its signature, is another. */
function flipped(pem: string): string {
  const der = Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64');
  der[der.length - 1] = (der.at(-1) ?? 0) ^ 1;
  return der.toString('base64');
}

function many(count: number): string {
  return Array.from({ length: count }, (_, index) => `DNS:name-${index}.example.com`).join(',');
}
