// Events that no exchange stands behind: a certificate that ends soon, a list that was refused. They go where the
// events of exchanges go.

/** What waits for a destination that is away; a notice is some hundred bytes. Beyond it the oldest goes. */
const MAX_WAITING = 1_000;

export class Notices {
  readonly #waiting: Buffer[] = [];

  /** `event` is `<capability>.<what>`; `fields` are JSON, in the spelling of docs/events.md, without secrets. */
  tell(event: string, fields: Readonly<Record<string, unknown>>): void {
    if (this.#waiting.length >= MAX_WAITING) this.#waiting.shift();
    const line = JSON.stringify({ Event: event, EventTimestamp: new Date().toISOString(), ...fields });
    this.#waiting.push(Buffer.from(`${line}\n`));
  }

  /** Moves whole lines into the buffer, as many as fit; answers their bytes. */
  drain(buffer: Uint8Array): number {
    let filled = 0;
    for (;;) {
      const line = this.#waiting[0];
      if (!line || line.length > buffer.length - filled) return filled;
      buffer.set(line, filled);
      filled += line.length;
      this.#waiting.shift();
    }
  }
}

/** How others tell of something. */
export type Tell = Notices['tell'];
