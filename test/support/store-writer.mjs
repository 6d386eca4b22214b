// Writes to a store until it is killed, and prints each row's id once it was acknowledged:
//
//     node store-writer.mjs '{"url": null, "folder": "...", "key": "<hex>"}' <name>

import { writeSync } from 'node:fs';
import { audit } from '../../dist/manage/store/audit.js';
import { Store } from '../../dist/manage/store/open.js';

const [, , options, name] = process.argv;
const { url, folder, key } = JSON.parse(options);
const store = await Store.open({ url, folder, key: Buffer.from(key, 'hex') });
for (let i = 0; ; i++) {
  const id = `${name}/${i}`;
  await store.write(['tokens'], async (tx, revisions) => {
    const row = { id, name: id, role: 'viewer', hash: id, created_at: 1, created_by: name, version: revisions.tokens };
    await tx.insertInto('tokens').values(row).execute();
    await audit(tx, revisions, { actor: name, action: 'test.kill', target: id, after: { i } });
  });
  // At once: what is buffered in the process would not be acknowledged to anybody.
  writeSync(1, `${id}\n`);
}
