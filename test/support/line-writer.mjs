// Writes lines of one letter to standard output as a gateway writes events, then ends.
//
//     node line-writer.mjs <folder of turns> <letter> <lines> <length>

import { Destination } from '../../dist/journal/events/destination.js';
import { Turn } from '../../dist/journal/events/turn.js';

const [folder, letter, lines, length] = process.argv.slice(2);
const line = Buffer.from(`${letter.repeat(Number(length))}\n`);
let left = Number(lines);

const drain = buffer => {
  let end = 0;
  for (; left > 0 && end + line.length <= Math.min(buffer.length, 5 * line.length); left--) {
    end += line.copy(buffer, end);
  }
  return end;
};
// Nobody reads any more.
const log = { info() {}, warn: () => process.exit(1) };
const destination = new Destination('stdout', 1, drain, log, new Turn(folder));
const watching = setInterval(async () => {
  if (left > 0) return;
  clearInterval(watching);
  await destination.close(20_000);
  process.exit(0);
}, 10);
