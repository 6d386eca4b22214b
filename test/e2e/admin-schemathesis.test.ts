// The admin API against its own description, by schemathesis: everything that it says is so, and nothing makes it fail.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { atTheEnd, temporaryFolder } from '../support/cleanup.js';
import { startFront } from '../support/front.js';
import { fromPypi } from '../support/pypi.js';

const VERSION = '4.32.0';
/** Requests for each operation, in each phase. */
const EXAMPLES = 10;
/** The same requests every time. */
const SEED = 20_260_105;

test('schemathesis finds nothing', { timeout: 900_000 }, async ({ skip }) => {
  const installed = fromPypi('schemathesis', VERSION);
  const missing = `schemathesis ${VERSION} could not be installed from PyPI`;
  skip(installed === null && !process.env.CI, missing);
  if (installed === null) throw new Error(missing);
  const { gateway } = await startFront({ 'api.test': { origin: 'http://127.0.0.1:1' } });
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'schemathesis.toml'), SETTINGS);
  writeFileSync(join(folder, 'hooks.py'), HOOKS);
  const url = `http://127.0.0.1:${await fromManyAddresses(gateway.admin)}/admin/v1/openapi.json`;
  const { status, said } = await python(installed, folder, [
    ...['-m', 'schemathesis.cli', '--config-file', 'schemathesis.toml', 'run', url],
    ...['--max-examples', String(EXAMPLES), '--seed', String(SEED), '--no-color'],
    ...['--header', `Authorization: Bearer ${gateway.token}`],
  ]);
  expect(status, said).toBe(0);
  expect(said).toMatch(/\b(\d+) generated, \1 passed/);
});

function python(modules: string, cwd: string, args: string[]): Promise<{ status: number | null; said: string }> {
  const env = { ...process.env, PYTHONPATH: `${modules}:${cwd}`, SCHEMATHESIS_HOOKS: 'hooks' };
  const child = spawn('python3', args, { cwd, env });
  atTheEnd(() => child.kill('SIGKILL'));
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', piece => (said += piece));
  return new Promise(resolve => child.once('close', status => resolve({ status, said })));
}

/** It tries bad tokens as well, and whoever does has to wait: so each connection comes from an address of its own. */
async function fromManyAddresses(port: number): Promise<number> {
  let next = 0;
  const server = createServer(client => {
    next += 1;
    const own = `127.1.${Math.floor(next / 250) % 250}.${1 + (next % 250)}`;
    const onward = connect({ port, host: '127.0.0.1', localAddress: own });
    client.pipe(onward).pipe(client);
    client.on('error', () => onward.destroy());
    onward.on('error', () => client.destroy());
  });
  atTheEnd(() => server.close());
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/**
 * What is no finding: that what was asked for is not there, or cannot be done, is an answer to good requests, too;
 * and who comes with bad tokens, as it does, has to wait at some point. A step that takes what an earlier one answered
 * puts it wherever a name fits, a fingerprint for an id, and calls that good: what is refused there says nothing.
 * Time is that of machines that have more to do: RSA keys of authorities are made while it waits. */
const SETTINGS = `
request-timeout = 60.0
request-retries = 2

[phases.stateful.checks.positive_data_acceptance]
enabled = false
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422", "429"]
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "412", "413", "415", "422", "428", "429", "431"]
[checks.missing_required_header]
expected-statuses = [428]
`;

/** Types of bodies that it does not know. */
const HOOKS = `
import schemathesis

@schemathesis.serializer("application/pkix-crl")
def as_it_is(ctx, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
`;
