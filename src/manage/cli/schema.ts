import type { Command } from 'commander';

/** `portcullis schema`: what may be written, for editors (src/config/portcullis.schema.json) and readers (docs/config.md). */
export function addSchema(program: Command): void {
  program
    .command('schema')
    .description('print the JSON Schema of the configuration')
    .option('--markdown', 'as a page to read')
    .action(async ({ markdown: page }: { markdown?: boolean }) => {
      const [{ markdown }, { jsonSchema }] = await Promise.all([
        import('../../config/document.js'),
        import('../../config/schema.js'),
      ]);
      process.stdout.write(page ? markdown(jsonSchema()) : `${JSON.stringify(jsonSchema(), null, 2)}\n`);
    });
}
