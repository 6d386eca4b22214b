// gRPC services to the operations of a host and the descriptors that check their messages.
//
// Files are read here; what they mean is the engine's to say, before the policy is made: a policy holds the methods as
// operations, so that limits and credentials can speak of them.

import type { Loading } from '../../config/loading.js';
import { Overridden } from '../../config/overridden.js';
import { child } from '../../config/pointer.js';
import type { PolicyGrpc } from '../../config/policy.js';
import type { Place } from '../../config/problem.js';
import type { DescribedOperation } from '../../config/security.js';
import type { Grpc } from './config.js';
import { type ProtoSource, readSources } from './sources.js';

/** Asks the engine: JSON of native/engine/src/grpc/outline.rs, both ways. */
export type DescribeCalls = (asked: string) => string | Promise<string>;

/** More of them are told by their number. */
const MAX_UNCHECKED = 20;

/** They are no part of what the compiler of `.proto` files knows. */
const EDITIONS = 'files of `edition` syntax are not read yet: write this one as proto2 or proto3';

interface Outline {
  descriptors: string | null;
  methods: { path: string; client_streams: boolean; server_streams: boolean }[];
  problems: { file: string; line: number; column: number; message: string }[];
  unchecked: { element: string; message: string }[];
}

export interface CompiledGrpc {
  policy: PolicyGrpc;
  /** By the index of the policy's operations. */
  operations: DescribedOperation[];
}

/** null when the descriptors have faults; the problems then say which. */
export async function compileGrpc(
  grpc: Grpc,
  at: string,
  loading: Loading,
  describe: DescribeCalls | undefined,
): Promise<CompiledGrpc | null> {
  const overridden = new Overridden(grpc.operations, child(at, 'operations'), 'write it as `/package.Service/Method`');
  const policy = (descriptors: string | null, operations: PolicyGrpc['operations']): PolicyGrpc => ({
    at,
    action: grpc.action,
    fallthrough: grpc.fallthrough,
    unknown_fields: grpc.unknownFields === 'ignore' ? 'off' : grpc.unknownFields,
    detail: grpc.problem.detail,
    descriptors,
    max_message_bytes: grpc.maxMessageBytes,
    max_depth: grpc.maxDepth,
    max_fields: grpc.maxFields,
    max_deadline_ms: grpc.maxDeadline ?? null,
    allow_reflection: grpc.allowReflection,
    operations,
  });
  if (grpc.descriptors === undefined && grpc.protos === undefined) {
    overridden.report(loading);
    return { policy: policy(null, []), operations: [] };
  }
  const place = child(at, grpc.protos ? 'protos' : 'descriptors');
  const outline = await read(grpc, place, loading, describe);
  if (outline === null) return null;
  if (outline.methods.length === 0) {
    loading.warning(place, 'the descriptors have no services: every call is unknown');
  }
  const operations = outline.methods.map(({ path }) => {
    const names = [path, path.slice(1), `POST ${path}`];
    return { path, at: place, names, action: overridden.of(names)?.overrides.action ?? grpc.action };
  });
  overridden.report(loading);
  return {
    policy: policy(
      outline.descriptors,
      operations.map(({ path, at, action }) => ({ path, at, action })),
    ),
    operations: operations.map(({ names, at }) => ({ names, at, security: null, own: null, limits: null })),
  };
}

async function read(
  { descriptors, protos }: Grpc,
  at: string,
  loading: Loading,
  describe: DescribeCalls | undefined,
): Promise<Outline | null> {
  let sources: ProtoSource[] = [];
  let asked: unknown;
  if (protos) {
    try {
      sources = readSources(protos.files, protos.includes, loading);
    } catch (error) {
      loading.problem(child(at, 'files'), (error as Error).message, {
        hint: `looked in ${protos.includes.join(', ')}`,
      });
      return null;
    }
    asked = { sources: { files: protos.files, texts: sources.map(({ name, text }) => [name, text]) } };
  } else {
    const sets = (descriptors ?? []).map((file, index) => loading.bytes(child(at, index), file));
    if (sets.includes(null)) return null;
    // Sets one behind the other are one set: that is how the wire format joins lists.
    asked = { descriptors: Buffer.concat(sets as Buffer[]).toString('base64') };
  }
  if (!describe) return null;
  const outline = JSON.parse(await describe(JSON.stringify(asked))) as Outline;
  tell(outline, at, sources, loading);
  return outline.problems.length > 0 ? null : outline;
}

function tell({ problems, unchecked }: Outline, at: string, sources: readonly ProtoSource[], loading: Loading): void {
  for (const { file, line, column, message } of problems) {
    const source = sources.find(({ name }) => name === file);
    if (source === undefined || line === 0) {
      loading.problem(at, file === '' ? message : `${file}: ${message}`);
      continue;
    }
    const text = source.text.split(/\r?\n/)[line - 1] ?? '';
    const place: Place = { file: source.shown, line, column, width: 1, text };
    const hint = text.trimStart().startsWith('edition') ? EDITIONS : undefined;
    loading.problems.push({ severity: 'problem', place, message, ...(hint && { hint }) });
  }
  for (const { element, message } of unchecked.slice(0, MAX_UNCHECKED)) {
    loading.warning(at, `${element}: not checked: ${message}`, { hint: 'the origin has to check it itself' });
  }
  if (unchecked.length > MAX_UNCHECKED) {
    loading.warning(at, `${unchecked.length - MAX_UNCHECKED} more annotations are not checked`);
  }
}
