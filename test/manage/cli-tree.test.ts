// What holds for every command: `--help` with an example, completion that knows what `--help` knows, tables.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { acting, EXAMPLES } from '../../src/manage/cli/examples.js';
import { bareProgram } from '../../src/manage/cli/program.js';
import { pairs, table } from '../../src/manage/cli/table.js';
import { temporaryFolder } from '../support/cleanup.js';
import { needs } from '../support/needs.js';
import { portcullis } from '../support/terminal.js';

const commands = acting(bareProgram());

describe('every command', () => {
  test.each(commands.map(({ path }) => path))('`%s --help` has an example of it', async path => {
    const { exit, out } = await portcullis([...path.split(' '), '--help']);
    expect(exit).toBe(0);
    const examples = out.split('\nExamples:\n')[1] ?? '';
    expect(examples).toContain(`portcullis ${path}`);
  });

  test('no example is of a command that is gone', () => {
    const known = commands.map(({ path }) => path);
    expect(Object.keys(EXAMPLES).filter(path => !known.includes(path))).toEqual([]);
  });

  test('every example is one that the parser takes', () => {
    const wrong = Object.entries(EXAMPLES).flatMap(([path, lines]) => {
      const known = commands.find(one => one.path === path)?.command;
      const flags = known?.options.flatMap(({ short, long }) => [short, long]) ?? [];
      const used = lines
        .filter(line => line.includes(`portcullis ${path}`) && !line.includes(' -- '))
        .flatMap(
          line =>
            line
              .slice(line.indexOf(`portcullis ${path}`))
              .split(/[|>)]/)[0]
              ?.match(/ --?[a-z][a-z-]*/g) ?? [],
        )
        .map(flag => flag.trim());
      return used.filter(flag => path !== 'explain' && !flags.includes(flag)).map(flag => `${path}: ${flag}`);
    });
    expect(wrong).toEqual([]);
  });

  test.each(commands.map(({ path, command }) => [path, command] as const))(
    '`%s` takes no secret as an option or argument',
    (_, command) => {
      const named = [
        ...command.options.map(({ flags }) => flags),
        ...command.registeredArguments.map(one => one.name()),
      ];
      const secrets = named.filter(name => /password|secret|token|passphrase/i.test(name));
      // A file that holds it, or the public id of a token.
      expect(secrets.filter(name => !/-file <file>$|^token$/.test(name))).toEqual([]);
    },
  );
});

describe('completion in bash', () => {
  const bash = needs('bash');

  const cases: [line: string, wanted: string[]][] = [
    ['portcullis pk', ['pki']],
    ['portcullis pki authority cr', ['create']],
    ['portcullis pki ', ['authority', 'hold', 'inspect', 'issue', 'list', 'restore', 'revocations', 'revoke', 'show']],
    ['portcullis pki issue --for', ['--force', '--format']],
    ['portcullis pki issue x --format p', ['pem', 'pkcs12']],
    ['portcullis pki issue x --authority list --key-type P-', ['P-256', 'P-384']],
    ['portcullis pki authority create x --key-type RSA', ['RSA\\ 3072', 'RSA\\ 4096']],
    ['portcullis token list -', ['--admin', '--all', '--ca', '--config', '-c', '-h', '-o']],
    ['portcullis completion ', ['bash', 'fish', 'zsh']],
    ['portcullis token create x --role ', ['admin', 'operator', 'viewer']],
    ['portcullis pki inspect cert', ['certificate.pem']],
    ['portcullis pki inspect --password-file cert', ['certificate.pem']],
    ['portcullis mtls enable api.example.com --trust ', []],
    ['portcullis pki authority nonsense', []],
  ];
  for (const [line, wanted] of cases) {
    bash(`${line}<Tab>`, async () => {
      const found = await completed(line);
      expect(found).toEqual(expect.arrayContaining(wanted));
      if (!line.endsWith('-') && !line.endsWith('pki ')) expect(found).toEqual(wanted);
    });
  }

  for (const shell of ['bash', 'zsh', 'fish']) {
    needs(shell)(`the script for ${shell} is what it can read`, async () => {
      const { out, exit } = await portcullis(['completion', shell]);
      expect(exit).toBe(0);
      const script = join(temporaryFolder(), 'script');
      writeFileSync(script, out);
      expect(spawnSync(shell, ['-n', script]).stderr.toString()).toBe('');
    });
  }

  test('no script for another shell', async () => {
    expect((await portcullis(['completion', 'tcsh'])).exit).toBe(2);
  });

  needs('fish')('fish offers the same', async () => {
    const { out } = await portcullis(['completion', 'fish']);
    // Longer than an argument may be.
    const script = join(temporaryFolder(), 'portcullis.fish');
    writeFileSync(script, out);
    const offered = (line: string) => {
      const { stdout } = spawnSync('fish', ['--no-config', '-c', `source ${script}; complete -C '${line}'`]);
      return stdout
        .toString()
        .split('\n')
        .filter(Boolean)
        .map(one => one.split('\t')[0]);
    };
    expect(offered('portcullis pki authority cr')).toEqual(['create']);
    expect(offered('portcullis pki issue x --authority list --key-type RSA')).toEqual(['RSA 3072', 'RSA 4096']);
    expect(offered('portcullis token list --al')).toEqual(['--all']);
  });

  /** What a real bash offers behind `line`. */
  async function completed(line: string): Promise<string[]> {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'certificate.pem'), '');
    const words = line.split(' ');
    const script = `${(await portcullis(['completion', 'bash'])).out}
COMP_WORDS=(${words.map(word => `'${word}'`).join(' ')})
COMP_CWORD=${words.length - 1}
_portcullis
printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', script], { cwd: folder });
    expect(stderr.toString()).toBe('');
    return stdout.toString().split('\n').filter(Boolean).sort();
  }
});

describe('tables', () => {
  test('columns line up, the last one without spaces behind it', () => {
    expect(
      table(
        ['name', 'n'],
        [
          ['a', '1'],
          ['longer', '22'],
        ],
      ),
    ).toBe('name    n\na       1\nlonger  22\n');
  });

  test('escapes, line ends and characters that turn the text around become spaces', () => {
    const hostile = 'a\u001b[31mb\nc\u202ed\u2028e\u009bf\u200bg';
    const text = table(['name', 'n'], [[hostile, '1']]);
    expect(text.split('\n')[1]).toBe('a [31mb c d e f g  1');
    expect(pairs([['name', hostile]])).toBe('name  a [31mb c d e f g\n');
  });

  test('wide characters take two columns, combining ones none', () => {
    const text = table(
      ['n', 'x'],
      [
        ['日本', '1'],
        ['e\u0301', '2'],
      ],
    );
    expect(text).toBe('n     x\n日本  1\ne\u0301     2\n');
  });

  test('the widest columns are cut to the width of the terminal, marked', () => {
    const text = table(['subject', 'serial'], [['CN=a very long subject of a device', '0A1B2C3D']], 30);
    expect(text.split('\n').every(line => line.length <= 30)).toBe(true);
    expect(text).toContain('CN=a very long subj…  0A1B2C3D');
  });

  test('nothing is cut where no terminal is', () => {
    const long = 'x'.repeat(500);
    expect(table(['a'], [[long]])).toContain(long);
  });
});
