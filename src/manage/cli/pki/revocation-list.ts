// `portcullis pki authority revocation-list`: hands over a list of a brought authority.

import type { Command } from 'commander';
import type { Loaded } from '../../pki/lists-routes.js';
import { at, connect } from '../client.js';
import { readInput } from '../files.js';
import { count, dayAndDistance, print } from '../print.js';
import { type ReachOptions, reaching } from '../reach.js';
import { pairs } from '../table.js';
import type { Terminal } from '../terminal.js';

export function addRevocationList(group: Command, terminal: Terminal): void {
  reaching(
    group.command('revocation-list').argument('<name>', 'of the authority').argument('<file>', 'the list, DER or PEM'),
  )
    .description('have a revocation list of an imported authority, or of one with files, taken up at once')
    .action(async (name: string, file: string, options: ReachOptions) => {
      const path = at`/pki/authorities/${name}/revocation-list`;
      const given = { body: readInput(file), contentType: 'application/pkix-crl' };
      const loaded = await connect(options, terminal).send<Loaded>('PUT', path, given);
      print(terminal, options.output, loaded, () => told(loaded, terminal.now()));
    });
}

function told({ issuer, number, serials, next_update }: Loaded, now: number): string {
  return pairs([
    ['issuer', issuer],
    ['number', number],
    ['takes back', count(serials, 'certificate')],
    ['next one by', dayAndDistance(next_update, now)],
  ]);
}
