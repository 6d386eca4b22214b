import type { Command } from 'commander';
import { markdown } from '../../config/document.js';
import { jsonSchema } from '../../config/schema.js';

/** `portcullis schema`: what may be written, for editors (src/config/portcullis.schema.json) and readers (docs/config.md). */
export function addSchema(program: Command): void {
  program
    .command('schema')
    .description('print the JSON Schema of the configuration')
    .option('--markdown', 'as a page to read')
    .action(({ markdown: page }: { markdown?: boolean }) => {
      process.stdout.write(page ? markdown(jsonSchema()) : `${JSON.stringify(jsonSchema(), null, 2)}\n`);
    });
}
