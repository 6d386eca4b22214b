// What every part of a description is read with.

import type { Description, Found } from './description.js';
import type { Direction } from './directions.js';
import type { Unchecked } from './remarks.js';

export type { Direction } from './directions.js';

export interface Reading {
  readonly description: Description;
  readonly unchecked: Unchecked;
  /** Schemas are JSON Schema draft 2020-12: OpenAPI 3.1 and later. */
  readonly modern: boolean;
  /** OpenAPI 3.2 and later. */
  readonly since32: boolean;
  /** XML is passed on unchecked instead of refused. */
  readonly allowXml: boolean;
  /** The name of the schema that checks a value; null stands for anything. */
  schema(found: Found | null, direction: Direction): string;
}
