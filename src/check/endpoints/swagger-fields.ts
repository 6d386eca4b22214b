// What parameters, form fields and headers of Swagger 2.0 say about their values: a schema and a style.

import { child } from '../../config/pointer.js';
import { type Description, isMapping, type Mapping } from './description.js';
import type { Unchecked } from './remarks.js';

/** Of a parameter, what is its schema in OpenAPI 3.0. */
const SCHEMA = (
  'type format default maximum exclusiveMaximum minimum exclusiveMinimum maxLength minLength pattern maxItems minItems ' +
  'uniqueItems enum multipleOf nullable'
).split(' ');

const SEPARATOR =
  'list with a separator that OpenAPI 3.0 does not know is checked as text only|lists with separators that OpenAPI 3.0 does not know are checked as text only';

export class Fields {
  constructor(
    private readonly description: Description,
    private readonly unchecked: Unchecked,
  ) {}

  /** What a parameter, an item or a header says about its value. */
  schema(value: Mapping, from: string): Mapping {
    const schema: Mapping = {};
    for (const keyword of SCHEMA) if (Object.hasOwn(value, keyword)) schema[keyword] = value[keyword];
    if (typeof value.type !== 'string') {
      this.description.problem(from, 'this needs `type`: only `body` parameters have a `schema` in Swagger 2.0');
    } else if (value.type === 'file') {
      this.description.problem(child(from, 'type'), 'files stand in `formData` only');
    }
    if (value.type === 'array' && isMapping(value.items)) {
      const { items } = value;
      const at = child(from, 'items');
      // A list in a list would have to be taken apart twice.
      if (items.type === 'array') this.unchecked.add(SEPARATOR, at);
      schema.items = items.type === 'array' ? {} : this.schema(items, at);
    }
    return schema;
  }

  /** What `collectionFormat` comes to; a list that cannot be taken apart becomes text in `out`. */
  style(value: Mapping, location: string, out: Mapping, from: string): Mapping {
    const simple = location === 'path' || location === 'header';
    if (value.type !== 'array') return {};
    const at = child(from, 'collectionFormat');
    switch (value.collectionFormat ?? 'csv') {
      case 'csv':
        return { style: simple ? 'simple' : 'form', explode: false };
      case 'multi':
        if (!simple) return { style: 'form', explode: true };
        this.description.problem(at, '`multi` is for `query` and `formData` only');
        return {};
      case 'ssv':
        if (!simple) return { style: 'spaceDelimited', explode: false };
        break;
      case 'pipes':
        if (!simple) return { style: 'pipeDelimited', explode: false };
        break;
      case 'tsv':
        break;
      default:
        this.description.problem(at, '`collectionFormat` is one of csv, ssv, tsv, pipes, multi');
        return {};
    }
    this.unchecked.add(SEPARATOR, at);
    out.schema = { type: 'string' };
    return {};
  }
}
