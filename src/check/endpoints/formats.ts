// The formats that the engine asserts (native/engine/src/schema/formats.rs and the jsonschema crate), and those that
// say nothing about a JSON value.

/** Everything that Cloudflare's schema validation asserts, and more. */
const ASSERTED = new Set(
  (
    'date date-time time duration email idn-email hostname idn-hostname ipv4 ipv6 uri uri-reference uri-template iri ' +
    'iri-reference uuid json-pointer relative-json-pointer regex byte base64url char decimal ' +
    'int8 int16 int32 int64 uint8 uint16 uint32 uint64 double-int float double'
  ).split(' '),
);
/** Hints for people and tools: any value of the type is as good as another. */
const HINTS = new Set('password binary html commonmark'.split(' '));

export function isEnforced(format: string): boolean {
  return ASSERTED.has(format) || HINTS.has(format);
}

/** Beyond these a number of the description can be written that a double does not hold. */
const EXACT = Number.MAX_SAFE_INTEGER;

/**
 * Whether a number of the description may be another than the one that was written: readers of YAML and JSON round
 * whole numbers to doubles. Round ones such as 1e18 are taken at their word.
 */
export function mayBeRounded(value: number): boolean {
  if (!Number.isInteger(value) || Math.abs(value) <= EXACT) return false;
  return !(String(BigInt(value)) === String(value) && value % 1000 === 0);
}
