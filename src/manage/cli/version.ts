import type { Command } from 'commander';

export function addVersion(program: Command, version: string): void {
  program
    .command('version')
    .description('print what is running')
    .action(() => {
      process.stdout.write(`portcullis ${version} (Node.js ${process.version}, ${process.platform}-${process.arch})\n`);
    });
}
