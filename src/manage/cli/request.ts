// A request written down: as it stands on the wire, or as the curl line that would send it.

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

export interface Request {
  method: string;
  /** Path and query. */
  target: string;
  /** Names in lower case. */
  fields: [name: string, value: string][];
  body: Buffer;
}

export interface Response {
  status: number;
  fields: [name: string, value: string][];
  body: Buffer;
}

/** A fault in what the operator wrote: one sentence. */
export class RequestFault extends Error {}

/** `POST /orders HTTP/1.1`, fields, an empty line, the body. Line ends may be LF; the target may be a whole URL. */
export function readRequest(bytes: Buffer): Request {
  const { first, fields, body } = readMessage(bytes);
  const [, method, target] = /^(\S+) (\S+)(?: HTTP\/\S+)?$/.exec(first) ?? [];
  if (method === undefined || target === undefined) {
    throw new RequestFault(`\`${first}\` is no request line: it looks like \`POST /orders HTTP/1.1\``);
  }
  return finished(method, target, fields, body);
}

/** `HTTP/1.1 200 OK`, fields, an empty line, the body: what `curl -i` prints. */
export function readResponse(bytes: Buffer): Response {
  const { first, fields, body } = readMessage(bytes);
  const status = /^HTTP\/\S+ (\d{3})/.exec(first)?.[1];
  if (status === undefined) {
    throw new RequestFault(`\`${first}\` is no status line: it looks like \`HTTP/1.1 200 OK\``);
  }
  return { status: Number(status), fields, body };
}

function readMessage(bytes: Buffer): { first: string; fields: [string, string][]; body: Buffer } {
  const text = bytes.toString('latin1');
  const end = /\r?\n\r?\n/.exec(text);
  const head = Buffer.from(end ? text.slice(0, end.index) : text.trimEnd(), 'latin1').toString();
  const [first = '', ...lines] = head.split(/\r?\n/);
  const fields = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    if (colon < 1) throw new RequestFault(`\`${line}\` is no header field: it looks like \`Name: value\``);
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return { first, fields, body: end ? bytes.subarray(end.index + end[0].length) : Buffer.alloc(0) };
}

/** Options of curl that say nothing about the request, with how many values each takes. */
const SILENT: Readonly<Record<string, number>> = {
  ...values(0, '-k --insecure -s --silent -S --show-error -L --location -v --verbose -i --include -f --fail -N'),
  ...values(0, '--no-buffer --http1.1 --http2 --fail-with-body -g --globoff --tlsv1.2 --tlsv1.3 -#'),
  ...values(1, '-o --output -w --write-out -E --cert --key --cacert --capath --pass --resolve --connect-to -m'),
  ...values(1, '--max-time --connect-timeout --retry -x --proxy --interface --cert-type --key-type'),
};

/** What curl would send for these arguments, `curl` itself left out. Files are read from the working folder. */
export function readCurl(args: readonly string[]): Request {
  const rest = spread(args);
  const curl = new Curl();
  for (let option = rest.shift(); option !== undefined; option = rest.shift()) {
    const silent = SILENT[option];
    if (silent !== undefined) rest.splice(0, silent);
    else if (!option.startsWith('-') || option === '-') curl.url(option);
    else curl.option(option, () => rest.shift());
  }
  return curl.request();
}

/** `--name=value` and `-XPOST` as two words, `-sk` as two options. */
function spread(args: readonly string[]): string[] {
  return args.flatMap(argument => {
    const long = /^(--[a-z0-9.-]+)=(.*)$/s.exec(argument);
    if (long) return [long[1] as string, long[2] as string];
    if (/^-[XHdFubAeoEmwx]./s.test(argument)) return [argument.slice(0, 2), argument.slice(2)];
    if (/^-[A-Za-z]{2,}$/.test(argument)) {
      const letters = [...argument.slice(1)];
      const valued = letters.findIndex(letter => 'XHdFubAeoEmwx'.includes(letter));
      if (valued >= 0 && valued < letters.length - 1) {
        const last = argument.slice(valued + 2);
        return [...letters.slice(0, valued + 1).map(letter => `-${letter}`), last];
      }
      return letters.map(letter => `-${letter}`);
    }
    return [argument];
  });
}

class Curl {
  #url: string | undefined;
  #method: string | undefined;
  readonly #fields: [string, string][] = [];
  readonly #data: Buffer[] = [];
  readonly #parts: string[] = [];
  #type: string | undefined;
  #get = false;

  url(written: string): void {
    if (this.#url !== undefined) throw new RequestFault(`there are two URLs: ${this.#url} and ${written}`);
    this.#url = /^[a-z]+:\/\//i.test(written) ? written : `https://${written}`;
  }

  option(option: string, next: () => string | undefined): void {
    const [names] = Object.entries(this.#options).find(([names]) => names.split(' ').includes(option)) ?? [];
    const act = names === undefined ? undefined : this.#options[names];
    if (act === undefined) throw new RequestFault(`curl's option \`${option}\` is not understood here`);
    // Those without a parameter are flags.
    const value = act.length === 0 ? '' : next();
    if (value === undefined) throw new RequestFault(`\`${option}\` needs a value`);
    act(value);
  }

  readonly #options: Readonly<Record<string, (value: string) => void>> = {
    '--url': url => this.url(url),
    '-X --request': method => {
      this.#method = method;
    },
    '-I --head': () => {
      this.#method ??= 'HEAD';
    },
    '-G --get': () => {
      this.#get = true;
    },
    '-H --header': line => this.#header(line),
    '-A --user-agent': agent => this.#header(`user-agent: ${agent}`),
    '-e --referer': referer => this.#header(`referer: ${referer}`),
    '-b --cookie': cookie => this.#header(`cookie: ${cookie}`),
    '-u --user': user => this.#header(`authorization: Basic ${Buffer.from(user).toString('base64')}`),
    '--compressed': () => this.#header('accept-encoding: deflate, gzip, br, zstd'),
    '-d --data --data-ascii': data => this.#add(contents(data, true)),
    '--data-raw': data => this.#add(Buffer.from(data)),
    '--data-binary': data => this.#add(contents(data, false)),
    '--data-urlencode': data => this.#add(Buffer.from(urlencoded(data))),
    '--json': data => {
      this.#type = 'application/json';
      this.#data.push(contents(data, false));
      this.#missing('accept', 'application/json');
    },
    '-F --form': part => {
      this.#parts.push(part);
    },
  };

  request(): Request {
    if (this.#url === undefined) throw new RequestFault('the curl line has no URL');
    let url = this.#url;
    let body: Buffer = Buffer.concat(this.#data);
    if (this.#get) {
      url += `${url.includes('?') ? '&' : '?'}${body}`;
      body = Buffer.alloc(0);
    } else if (this.#parts.length > 0) {
      const boundary = '------------------------portcullis-explain';
      body = Buffer.concat([...this.#parts.map(part => formPart(part, boundary)), Buffer.from(`--${boundary}--\r\n`)]);
      this.#missing('content-type', `multipart/form-data; boundary=${boundary}`);
    } else if (this.#data.length > 0) {
      this.#missing('content-type', this.#type ?? 'application/x-www-form-urlencoded');
    }
    const sends = !this.#get && (this.#data.length > 0 || this.#parts.length > 0);
    this.#missing('accept', '*/*');
    return finished(this.#method ?? (sends ? 'POST' : 'GET'), url, this.#fields, body);
  }

  #header(line: string): void {
    const colon = line.indexOf(':');
    if (colon < 1) throw new RequestFault(`\`${line}\` is no header field: it looks like \`Name: value\``);
    this.#fields.push([line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()]);
  }

  #missing(name: string, value: string): void {
    if (!this.#fields.some(([known]) => known === name)) this.#fields.push([name, value]);
  }

  /** Pieces of data are joined by `&`. */
  #add(data: Buffer): void {
    if (this.#data.length > 0) this.#data.push(Buffer.from('&'));
    this.#data.push(data);
  }
}

/** `@file`, or the text itself; curl takes line ends out of what `-d` reads. */
function contents(written: string, stripped: boolean): Buffer {
  if (!written.startsWith('@')) return Buffer.from(written);
  const bytes = read(written.slice(1));
  return stripped ? Buffer.from(bytes.toString('latin1').replace(/[\r\n\0]/g, ''), 'latin1') : bytes;
}

function urlencoded(written: string): string {
  const [, name = '', sign, rest = ''] = /^([^=@]*)([=@])?(.*)$/s.exec(written) ?? [];
  if (sign === undefined) return encodeURIComponent(written);
  const value = encodeURIComponent(sign === '@' ? read(rest).toString() : rest);
  return name === '' ? value : `${name}=${value}`;
}

function formPart(written: string, boundary: string): Buffer {
  const [, name, value = ''] = /^([^=]+)=(.*)$/s.exec(written) ?? [];
  if (name === undefined) throw new RequestFault(`\`${written}\` is no form part: it looks like \`name=value\``);
  const [content = '', ...options] = /^[@<]/.test(value) ? value.split(';') : [value];
  const option = (wanted: string) => options.map(text => text.trim()).find(text => text.startsWith(`${wanted}=`));
  const type = option('type')?.slice('type='.length);
  const file = value.startsWith('@')
    ? (option('filename')?.slice('filename='.length) ?? basename(content.slice(1)))
    : '';
  const bytes = /^[@<]/.test(value) ? read(content.slice(1)) : Buffer.from(content);
  const head =
    `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${file && `; filename="${file}"`}` +
    `${type || file ? `\r\nContent-Type: ${type ?? 'application/octet-stream'}` : ''}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), bytes, Buffer.from('\r\n')]);
}

function read(file: string): Buffer {
  try {
    return readFileSync(file === '-' ? 0 : file);
  } catch (error) {
    throw new RequestFault((error as Error).message);
  }
}

/** Host from the target when it is a whole URL, and the length of a body that says none. */
function finished(method: string, target: string, fields: [string, string][], body: Buffer): Request {
  const has = (name: string) => fields.some(([known]) => known === name);
  const absolute = /^[a-z]+:\/\/([^/?#]*)([^#]*)/i.exec(target);
  const whole: [string, string][] = [...fields];
  if (absolute?.[1] && !has('host')) whole.unshift(['host', absolute[1]]);
  if (body.length > 0 && !has('content-length') && !has('transfer-encoding')) {
    whole.push(['content-length', String(body.length)]);
  }
  const path = absolute ? (absolute[2] ?? '') : target;
  return { method, target: path.startsWith('/') ? path : `/${path}`, fields: whole, body };
}

/** A shell line as words: quotes, `$'…'` and backslashes as bash reads them, nothing expanded. */
export function words(line: string): string[] {
  const found: string[] = [];
  let word: string | null = null;
  const piece = /\$'((?:[^'\\]|\\.)*)'|'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(\r?\n|.)|(\s+)|([^\s'"\\]+|[$'"\\])/gsy;
  for (const [, ansi, single, double, escaped, space, plain] of line.matchAll(piece)) {
    if (space !== undefined) {
      if (word !== null) found.push(word);
      word = null;
    } else if (escaped === undefined || !/^\r?\n$/.test(escaped)) {
      const text: string =
        ansi?.replace(/\\(.)/gs, (_, letter: string) => ({ n: '\n', r: '\r', t: '\t' })[letter] ?? letter) ??
        single ??
        double?.replace(/\\([$`"\\\n])/gs, '$1') ??
        escaped ??
        plain ??
        '';
      word = (word ?? '') + text;
    }
  }
  if (word !== null) found.push(word);
  return found;
}

function values(count: number, names: string): Record<string, number> {
  return Object.fromEntries(names.split(' ').map(name => [name, count]));
}
