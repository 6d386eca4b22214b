import { meter } from '../meter.mjs';
import { start as startProgram } from '../processes.mjs';
import { median, range, round } from '../report.mjs';
import * as portcullis from '../rivals/portcullis.mjs';
import { interleave, row } from '../rounds.mjs';
import { GET } from './get-mtls.mjs';

export const name = 'accept';
export const about =
  'CPU per connection, accepted by the acceptor and by uWebSockets.js itself: full handshakes with a request, and greetings that end in an alert';

/** The difference is a few microseconds of some hundred: many short rounds, in which both meet the same machine. */
const TURNS = 4;
const GREETING_CLIENT = new URL('../load/greet.mjs', import.meta.url).pathname;
/** Most that the acceptor may add. */
const BOUND_US = 25;

export function absent(place) {
  return place.load.name === 'wrk' ? null : 'it needs wrk';
}

export async function run(place) {
  const acceptor = await portcullis.start(place, { called: 'acceptor' });
  const itself = await portcullis.start(place, { called: 'itself', listen: { h2: false } });
  const gateways = [acceptor, itself];
  const short = { ...place, rounds: place.rounds * TURNS, seconds: Math.max(1, place.seconds / TURNS) };
  const handshakes = await interleave(short, gateways, { get: { ...GET, newConnections: true } });
  const greetings = await greet(short, gateways);
  for (const gateway of gateways) await gateway.program.stop();
  const whole = gateway => handshakes.get(gateway.name).get('get');
  const added = pairs(
    whole(acceptor).map(each => each.cpu_us),
    whole(itself).map(each => each.cpu_us),
  );
  const addedToGreeting = pairs(greetings.get('acceptor'), greetings.get('itself'));
  return gateways.map(gateway => ({
    ...row(name, gateway.name, place.load.name, whole(gateway)),
    greeting_cpu_us: median(greetings.get(gateway.name)),
    greeting_cpu_us_range: range(greetings.get(gateway.name)),
    ...(gateway === acceptor && {
      added_us: median(added),
      added_us_range: range(added),
      added_to_greeting_us: median(addedToGreeting),
      added_to_greeting_us_range: range(addedToGreeting),
      within_bound: median(addedToGreeting) <= BOUND_US,
    }),
  }));
}

/** What the one took more than the other in the same round. */
function pairs(ours, theirs) {
  return ours.map((each, turn) => round(each - theirs[turn], 2));
}

/** Connections whose ClientHello has nothing that the server knows: it is read, answered with an alert, and that is all. */
async function greet(place, gateways) {
  const samples = new Map(gateways.map(each => [each.name, []]));
  for (let turn = 1; turn <= place.rounds; turn++) {
    for (const gateway of gateways) {
      const end = meter(gateway.program.pid);
      const client = startProgram('load', process.execPath, [
        GREETING_CLIENT,
        String(gateway.port),
        String(place.seconds),
      ]);
      if ((await client.ended) !== 0) throw new Error(`the greeting client failed: ${client.err}`);
      const cpu = round(end().cpu / Number(client.out), 2);
      samples.get(gateway.name).push(cpu);
      place.say(`  round ${turn} ${gateway.name} greeting: ${cpu} us, ${client.out.trim()} connections`);
    }
  }
  return samples;
}
