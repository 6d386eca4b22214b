// JSON pointers (RFC 6901): how a place inside the configuration is named, here and in the engine.

export function child(pointer: string, key: PropertyKey): string {
  return `${pointer}/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

export function pointer(path: readonly PropertyKey[]): string {
  return path.reduce<string>(child, '');
}

export function parent(pointer: string): string {
  return pointer.slice(0, pointer.lastIndexOf('/'));
}

export function path(pointer: string): string[] {
  if (pointer === '') return [];
  return pointer
    .slice(1)
    .split('/')
    .map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** The value a pointer names inside a tree of plain values. */
export function at(root: unknown, pointer: string): unknown {
  let value = root;
  for (const key of path(pointer)) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return value;
}
