// What origins may answer to an operation: statuses, headers, bodies.
//
// Compiled only where somebody looks: the responses of a large description are most of it. Elsewhere only their form is
// read, so that switching them on brings no faults to light that anybody can see now.

import { child } from '../../config/pointer.js';
import type { PolicyResponses } from '../../config/policy.js';
import { readContent } from './bodies.js';
import { type Found, isMapping } from './description.js';
import { readHeaders } from './parameters.js';
import type { Reading } from './reading.js';
import type { Stage } from './staging.js';

const STATUS = /^([1-5]\d\d|[1-5]XX|default)$/;
const NO_TYPE =
  '`content` of a response has no media type and says nothing about its body|`content` of responses have no media type and say nothing about their bodies';
const NO_RESPONSES =
  'operation describes no responses: all of them are passed on|operations describe no responses: all of them are passed on';

/** `written` is what stands under `responses`, `operation` the place of what encloses it. */
export function readResponses(
  written: Found,
  operation: string,
  action: Stage['responses'],
  reading: Reading,
): PolicyResponses | null {
  const { description, unchecked } = reading;
  const { value, pointer } = written;
  if (value === undefined) {
    if (action !== 'off') unchecked.add(NO_RESPONSES, operation);
    return null;
  }
  if (!isMapping(value)) {
    description.problem(pointer, '`responses` is not a map of statuses');
    return null;
  }
  const statuses: PolicyResponses['statuses'] = [];
  for (const [status, response] of Object.entries(value)) {
    if (status.startsWith('x-')) continue;
    const at = child(pointer, status);
    if (!STATUS.test(status)) {
      const hint = /^[1-5]xx$/i.test(status) ? 'write the X in capitals' : 'such as `200`, `4XX` or `default`';
      description.problem(at, `\`${status}\` is not a status`, hint);
    }
    const found = description.follow({ value: response, pointer: at });
    if (found === null) continue;
    if (!isMapping(found.value)) description.problem(found.pointer, 'this is not a response');
    else if (action !== 'off') statuses.push({ status, ...readResponse(found, reading) });
  }
  if (action === 'off') return null;
  if (statuses.length === 0) {
    unchecked.add(NO_RESPONSES, operation);
    return null;
  }
  return { action, statuses };
}

function readResponse({ value, pointer }: Found, reading: Reading) {
  const { headers, content } = value as Record<string, unknown>;
  const rows = readHeaders(headers, child(pointer, 'headers'), reading, 'response');
  const at = child(pointer, 'content');
  if (content !== undefined && !isMapping(content)) {
    reading.description.problem(at, '`content` is not a map of media types');
  }
  if (!isMapping(content)) return { headers: rows, content: null };
  // Converters write it for responses of which nobody said anything.
  if (Object.keys(content).length === 0) reading.unchecked.add(NO_TYPE, at);
  const read = readContent(content, at, reading, 'response');
  return { headers: rows, content: Object.keys(content).length === 0 ? null : read };
}
