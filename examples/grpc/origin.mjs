// The example's origin: a gRPC service in the clear, by @grpc/grpc-js.
//
//   node examples/grpc/origin.mjs [port]

import { fileURLToPath } from 'node:url';
import { loadPackageDefinition, Server, ServerCredentials } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const file = fileURLToPath(new URL('greeter.proto', import.meta.url));
const { greeter } = loadPackageDefinition(loadSync(file));

const greeting = ({ name }) => ({ text: `Hello, ${name}` });
const server = new Server();
server.addService(greeter.v1.Greeter.service, {
  Greet(call, answer) {
    // Asked for nobody, it thinks for ever: a call for deadlines.
    if (call.request.name !== 'nobody') answer(null, greeting(call.request));
  },
  Chat(call) {
    call.on('data', request => call.write(greeting(request)));
    call.on('end', () => call.end());
  },
});
const port = process.argv[2] ?? 50051;
server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), error => {
  if (error) throw error;
  console.log(`origin on 127.0.0.1:${port}`);
});
