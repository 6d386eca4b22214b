import fc from 'fast-check';
import { unzipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { CsvProblem, parseCsv, writeCsvLine } from '../../src/manage/pki/csv.js';
import { judged, stand } from '../support/pki-stand.js';
import { describeStores } from '../support/stores.js';

describe('CSV', () => {
  test('is read as RFC 4180 has it, with the lines of the file', () => {
    const text = '\ufeffname,dns\r\n"a ""b"", c",x\r\n\r\n"line\nbreak",\r\nlast,y';
    expect(parseCsv(text)).toEqual([
      { line: 1, cells: ['name', 'dns'] },
      { line: 2, cells: ['a "b", c', 'x'] },
      { line: 4, cells: ['line\nbreak', ''] },
      { line: 6, cells: ['last', 'y'] },
    ]);
    expect(parseCsv('')).toEqual([]);
    expect(parseCsv('a,')).toEqual([{ line: 1, cells: ['a', ''] }]);
  });

  test.each([
    ['name\na"b', 2, /quote stands within/],
    ['name\n"a', 2, /not closed/],
    ['name\n"a"b', 2, /behind a closing quote/],
    ['name\ra', 1, /carriage return/],
    [`name\n${'a'.repeat(10_001)}`, 2, /10000 characters/],
  ])('that is none is told with its line: %j', (text, line, why) => {
    expect(() => parseCsv(text)).toThrow(why);
    expect(() => parseCsv(text)).toThrow(expect.objectContaining({ line }));
  });

  test('that we write is read back, whatever it holds', () => {
    const cell = fc.string({ unit: 'binary' }).filter(text => !/^[=+\-@\t\r]/.test(text));
    const table = fc.array(fc.array(cell, { minLength: 2, maxLength: 4 }), { maxLength: 5 });
    fc.assert(
      fc.property(table, lines => {
        expect(
          parseCsv(`x,y\r\n${lines.map(writeCsvLine).join('')}`)
            .slice(1)
            .map(({ cells }) => cells),
        ).toEqual(lines);
      }),
    );
  });

  test('never fails but with a line, whatever comes', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'a",\r\n;') }), text => {
        try {
          parseCsv(text);
        } catch (error) {
          expect(error).toBeInstanceOf(CsvProblem);
        }
      }),
    );
  });

  test('that we write holds no formula', () => {
    expect(writeCsvLine(['=1+1', '@x', '-1', 'a'])).toBe("'=1+1,'@x,'-1,a\r\n");
  });
});

describeStores('bulk', newPlace => {
  const start = async (authority = {}) => {
    const made = await stand(await newPlace());
    await made.ask('POST', '/pki/authorities', { name: 'devices', ...authority });
    const bulk = (csv: string, more = '') => made.bytes(`/pki/certificates/bulk?authority=devices${more}`, csv);
    return { ...made, bulk };
  };
  const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString();

  test('gives a folder a device, from one CSV', async () => {
    const { bulk, ask, store } = await start();
    const csv =
      'name,dns,partner\r\nsensor-1,a.test b.test,"Example, Inc."\r\nSensor 1,,\r\n../sensor_1,,\r\n"=cmd|x",,\r\n';
    const made = await bulk(csv);
    expect(made.status).toBe(201);
    expect(made.headers.get('portcullis-issued')).toBe('4');
    const files = unzipSync(made.body);
    const folders = new Set(Object.keys(files).flatMap(name => (name.includes('/') ? [name.split('/')[0]] : [])));
    expect([...folders]).toEqual(['sensor-1', 'Sensor_1', 'sensor_1-2', 'cmd_x']);
    expect(Object.keys(files).filter(name => name.startsWith('sensor-1/'))).toEqual([
      'sensor-1/sensor-1.pem',
      'sensor-1/sensor-1-chain.pem',
      'sensor-1/authority.pem',
      'sensor-1/sensor-1.key',
    ]);
    expect(text(files['README.md'])).toContain('curl --cert');
    const index = text(files['devices.csv']);
    expect(index).toContain("'=cmd|x,cmd_x,");
    const { body } = await ask('GET', '/pki/certificates?name=sensor-1');
    expect(body.items).toMatchObject([{ dns: ['a.test', 'b.test'], partner: 'Example, Inc.', profile: 'device' }]);
    expect(index).toContain(body.items[0].fingerprint);
    const { body: pem } = await ask('GET', '/pki/authorities/devices/certificates');
    expect(judged(text(files['sensor-1/sensor-1.pem']), pem)).toBe('');
    const audit = await store.db
      .selectFrom('audit')
      .select(['action', 'after'])
      .orderBy('seq', 'desc')
      .executeTakeFirst();
    expect(audit?.action).toBe('pki.certificate.bulk');
    expect(JSON.parse(audit?.after ?? '')).toMatchObject({ issued: 4, failed: 0 });
  });

  test('is all or nothing, and tells each line', async () => {
    const { bulk, ask } = await start();
    const csv = 'name,uri\ngood,\n,\ngood,\nspaced ,\nbad,no-scheme\nfew\n';
    const refused = await bulk(csv);
    expect(refused.status).toBe(422);
    const { errors } = JSON.parse(refused.body.toString());
    expect(errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual(['/3', '/4', '/5', '/7']);
    expect((await ask('GET', '/pki/certificates')).body.items).toEqual([]);
    const partly = await bulk(csv, '&allow_partial=true');
    expect(partly.status).toBe(201);
    const files = unzipSync(partly.body);
    expect(text(files['errors.csv'])).toMatch(
      /^line,error\r\n3,.*\r\n4,.*same as in line 2\r\n5,.*\r\n7,.*\r\n6,.*no scheme/s,
    );
    expect(partly.headers.get('portcullis-failed')).toBe('5');
    expect((await ask('GET', '/pki/certificates')).body.items).toMatchObject([{ name: 'good' }]);
    expect((await bulk('name\n\n', '&allow_partial=true')).status).toBe(422);
  });

  test('refuses columns it does not know, files too long, and rows too many', async () => {
    const { bulk } = await start();
    for (const csv of ['nome\na\n', 'dns\na\n', 'name,name\na,b\n', 'name\n"a\n'])
      expect((await bulk(csv)).status).toBe(422);
    const rows = Array.from({ length: 10_001 }, (_, index) => `d${index}\n`).join('');
    expect((await bulk(`name\n${rows}`)).status).toBe(422);
    expect((await bulk(`name\n${'a'.repeat(2 ** 20)}\n`)).status).toBe(413);
  });

  test('takes names of profile and constraints line by line', async () => {
    const { bulk } = await start({ name_constraints: { excluded: { dns: ['secret.test'] } } });
    const refused = await bulk('name,dns\na,x.secret.test\nb,y.test\n');
    expect(JSON.parse(refused.body.toString()).errors).toEqual([
      { pointer: '/2', detail: expect.stringContaining('do not allow dns:x.secret.test') },
    ]);
  });
});
