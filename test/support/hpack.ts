// Reads header blocks (RFC 7541): of clients that send what no library would, and so have none that reads for them.

import type { Pair } from './h2-frames.js';

/** RFC 7541, appendix A; `=` precedes a value. */
const STATIC: Pair[] =
  ':authority :method=GET :method=POST :path=/ :path=/index.html :scheme=http :scheme=https :status=200 :status=204 :status=206 :status=304 :status=400 :status=404 :status=500 accept-charset accept-encoding=gzip,_deflate accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control content-disposition content-encoding content-language content-length content-location content-range content-type cookie date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified link location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate'
    .split(' ')
    .map(entry => {
      const [name = '', value = ''] = entry.split('=');
      return [name, value.replace('_', ' ')];
    });

/** Bits of each byte's code, in base 36, and of EOS: the code is canonical (RFC 7541, appendix B). */
const CODE_LENGTHS =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad67777777777777777777777878djde6f56565666577666567655677777fbedskmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmmnqqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu';

/** Symbols by the length and value of their codes, as `length:code`. */
const SYMBOLS = canonical([...CODE_LENGTHS].map(digit => Number.parseInt(digit, 36)));

export class HeaderReader {
  #dynamic: Pair[] = [];
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  /** The fields of one block, in order. */
  read(block: Buffer): Pair[] {
    [this.#bytes, this.#at] = [block, 0];
    const pairs: Pair[] = [];
    while (this.#at < block.length) {
      const first = block[this.#at] as number;
      if (first & 0x80) pairs.push(this.#entry(this.#integer(7)));
      else if (first & 0x40) pairs.push(this.#keep(this.#literal(6)));
      else if (first & 0x20) this.#shrink(this.#integer(5));
      else pairs.push(this.#literal(4));
    }
    return pairs;
  }

  #entry(index: number): Pair {
    const found = index <= STATIC.length ? STATIC[index - 1] : this.#dynamic[index - STATIC.length - 1];
    if (found === undefined) throw new Error(`no entry ${index}`);
    return found;
  }

  #literal(bits: number): Pair {
    const index = this.#integer(bits);
    return [index === 0 ? this.#text() : this.#entry(index)[0], this.#text()];
  }

  #keep(pair: Pair): Pair {
    this.#dynamic.unshift(pair);
    this.#shrink(4096);
    return pair;
  }

  #shrink(most: number): void {
    const size = () => this.#dynamic.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
    while (size() > most) this.#dynamic.pop();
  }

  #integer(bits: number): number {
    const most = 2 ** bits - 1;
    let value = (this.#bytes[this.#at++] as number) & most;
    if (value < most) return value;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes[this.#at++] as number;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  }

  #text(): string {
    const coded = ((this.#bytes[this.#at] as number) & 0x80) !== 0;
    const length = this.#integer(7);
    const bytes = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return coded ? huffman(bytes) : bytes.toString('latin1');
  }
}

function huffman(bytes: Buffer): string {
  let [text, code, length] = ['', 0, 0];
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      code = code * 2 + ((byte >> bit) & 1);
      const symbol = SYMBOLS.get(`${++length}:${code}`);
      if (symbol === undefined) continue;
      text += String.fromCharCode(symbol);
      [code, length] = [0, 0];
    }
  }
  return text;
}

function canonical(lengths: number[]): Map<string, number> {
  const symbols = new Map<string, number>();
  let [code, before] = [0, 0];
  for (const [length, symbol] of lengths.map((length, symbol) => [length, symbol] as const).sort(bySymbol)) {
    code *= 2 ** (length - before);
    before = length;
    symbols.set(`${length}:${code++}`, symbol);
  }
  return symbols;
}

function bySymbol([length, symbol]: readonly [number, number], [other, later]: readonly [number, number]): number {
  return length - other || symbol - later;
}
