// The example's client: one call, with the quickstart's client certificate unless told otherwise.
//
//   node examples/grpc/call.mjs <name> [--seconds n] [--anonymous]

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { credentials, loadPackageDefinition, Metadata, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '20' }, anonymous: { type: 'boolean' } },
});
const here = path => fileURLToPath(new URL(path, import.meta.url));
const made = name => {
  const path = here(`../../.portcullis/${name}`);
  if (existsSync(path)) return readFileSync(path);
  console.error(`${path} is not there: \`npm start\` makes it, once`);
  process.exit(1);
};
const { greeter } = loadPackageDefinition(loadSync(here('greeter.proto')));
const secure = values.anonymous
  ? credentials.createSsl(made('pki/server-ca.pem'))
  : credentials.createSsl(made('pki/server-ca.pem'), made('laptop/laptop.key'), made('laptop/laptop.pem'));
const client = new greeter.v1.Greeter('localhost:8443', secure);

const deadline = Date.now() + Number(values.seconds) * 1000;
client.Greet({ name: positionals[0] ?? 'world' }, new Metadata(), { deadline }, (error, reply) => {
  if (error) {
    console.log(`${error.code} ${status[error.code]}: ${error.details}`);
    const [details] = error.metadata.get('grpc-status-details-bin');
    // A google.rpc.Status; its ErrorInfo names the reason.
    if (details) console.log(details.toString('latin1').match(/[a-z]+\.[a-z_-]+(?=\W+portcullis)/)?.[0]);
  } else {
    console.log(reply.text);
  }
  client.close();
});
