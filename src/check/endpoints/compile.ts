// OpenAPI descriptions to the operations of a host and the one schema that checks their values.
//
// A fault is a problem and refuses the configuration; all are found at once. What a description asks for and nobody
// checks is a warning. What changes no verdict is passed over.

import type { Loading } from '../../config/loading.js';
import { Overridden } from '../../config/overridden.js';
import { child, path as tokens } from '../../config/pointer.js';
import type { PolicyOpenapi, PolicyOperation } from '../../config/policy.js';
import type { DescribedOperation, DescribedSecurity } from '../../config/security.js';
import type { Document, Openapi } from './config.js';
import { Description, isMapping, type Mapping } from './description.js';
import { Dialect } from './dialect.js';
import { Paths, Taken } from './paths.js';
import { Unchecked } from './remarks.js';
import { Security } from './security.js';
import { checkShape } from './shape.js';
import { stage } from './staging.js';
import { readVersion } from './version.js';

/** What the descriptions of a host come to. */
export interface Described {
  policy: PolicyOpenapi;
  security: DescribedSecurity;
}

/**
 * null when a description has faults; the problems then say which. `keysInQuery`: names under which the host looks for
 * API keys in the query, described or not.
 */
export async function compileOpenapi(
  openapi: Openapi,
  at: string,
  loading: Loading,
  keysInQuery: readonly string[] = [],
): Promise<Described | null> {
  const everywhere = new Overridden(openapi.operations, child(at, 'operations'));
  const taken = new Taken();
  const read: Read[] = [];
  const documents = placed(openapi, at);
  for (const [index, { document, at: place }] of documents.entries()) {
    const description = await Description.open(
      { file: document.file, allowRemoteReferences: openapi.allowRemoteReferences },
      place,
      loading,
    );
    if (description === null) continue;
    const own = new Overridden(document.operations, child(place, 'operations'));
    const prefix = index === 0 ? '' : `${index}:`;
    const compiled = compileDocument(description, prefix, openapi, {
      host: tokens(at)[1] ?? '',
      taken,
      stage: names => stage([openapi, document, everywhere.of(names)?.overrides, own.of(names)?.overrides]),
      named: pointer => named(child(place, 'file'), pointer),
      keysInQuery,
    });
    loading.problems.push(...description.problems);
    if (compiled === null) continue;
    own.report(loading);
    read.push({ ...compiled, description, at: child(place, 'file') });
  }
  if (read.length > 0) showInside(read, at, loading);
  if (read.length < documents.length) return null;
  everywhere.report(loading);
  // Half a description would only make the engine say the same again.
  const broken = read.some(({ description }) => description.problems.some(({ severity }) => severity === 'problem'));
  if (broken) return null;
  const security = {
    schemes: read.flatMap(({ security }) => security.schemes),
    operations: read.flatMap(({ callers }) => callers),
  };
  return { policy: policyOf(openapi, read), security };
}

/** What one description came to. */
interface Read {
  description: Description;
  /** The configuration value that names it. */
  at: string;
  operations: PolicyOperation[];
  callers: DescribedOperation[];
  security: Security;
  dialect: Dialect;
}

function placed({ file, documents }: Openapi, at: string): { document: Document; at: string }[] {
  const several = documents?.map((document, index) => ({ document, at: child(child(at, 'documents'), index) }));
  return several ?? [{ document: { file: file ?? '', operations: {} }, at }];
}

function compileDocument(
  description: Description,
  prefix: string,
  openapi: Openapi,
  around: Omit<ConstructorParameters<typeof Paths>[1], 'root' | 'version' | 'security'>,
): Pick<Read, 'operations' | 'callers' | 'security' | 'dialect'> | null {
  const { root } = description;
  const unchecked = new Unchecked(description);
  const version = isMapping(root) ? readVersion(root, description, unchecked) : null;
  if (version === null || !isMapping(root)) {
    if (description.problems.length === 0) description.problem('', 'this is not an OpenAPI description');
    return null;
  }
  checkShape(root, version, description, unchecked);
  const security = new Security(root, version, description, unchecked, around.named);
  const dialect = new Dialect(description, unchecked, version.modern, openapi, prefix);
  const paths = new Paths(
    {
      description,
      unchecked,
      modern: version.modern,
      since32: version.since32,
      allowXml: openapi.allowXml,
      schema: (found, direction) => dialect.schema(found, direction),
    },
    { ...around, root, version, security },
  );
  if (Object.hasOwn(root, 'paths') || !version.modern) paths.read(root.paths);
  dialect.refuseCycles();
  unchecked.report();
  return { operations: paths.operations, callers: paths.callers, security, dialect };
}

function policyOf(openapi: Openapi, read: readonly Read[]): PolicyOpenapi {
  const roots = read.map(({ dialect }) => dialect.root() as { $defs: Mapping; properties: Mapping });
  return {
    action: openapi.action,
    fallthrough: openapi.fallthrough,
    overload: openapi.overload,
    detail: openapi.problem.detail,
    allow_values: openapi.problem.allowValues,
    operations: read.flatMap(({ operations }) => operations),
    schema: {
      $defs: Object.assign(Object.create(null), ...roots.map(({ $defs }) => $defs)),
      properties: Object.assign(Object.create(null), ...roots.map(({ properties }) => properties)),
    },
  };
}

/** A place of a description as the policy names it: behind the configuration value that names the description. */
function named(at: string, pointer: string): string {
  return pointer === '' || pointer.startsWith('/') ? at + pointer : `${at}/${pointer}`;
}

/** Problems of the engine are shown where the description has what they speak of. */
function showInside(read: readonly Read[], at: string, loading: Loading): void {
  loading.inside.set(`${child(at, 'file')}/schema`, pointer => {
    const owner = read.find(({ dialect }) => dialect.origin(pointer) !== '') ?? (read[0] as Read);
    return owner.description.place(owner.dialect.origin(pointer));
  });
  for (const { description, at: above } of read) loading.inside.set(above, pointer => description.place(pointer));
}
