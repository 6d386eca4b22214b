// Names of files that are made of names of devices: in zips, and where the command line writes them.

const MAX_FILE_NAME = 64;
/** Windows opens devices by these names, whatever stands behind the first dot. */
const RESERVED = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i;

/** A file's name that no program reads as anything else: not hidden, not above, not an option. */
export function fileName(name: string): string {
  const plain = name
    .normalize('NFKD')
    .replace(/[^A-Za-z0-9._-]+/g, '_')
    .replace(/^[._-]+|[._-]+$/g, '')
    .slice(0, MAX_FILE_NAME);
  return plain === '' || RESERVED.test(plain) ? `certificate${plain && `-${plain}`}` : plain;
}
