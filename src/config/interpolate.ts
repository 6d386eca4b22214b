// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the syntax that this file is about

// `${VAR}`, `${VAR:-default}` and `${file:path}` inside scalar values; `$${` stands for a plain `${`.
//
// It happens on scalars that are already parsed: what comes in from outside can never add structure.

/** Where values from outside come from. `file` throws with a sentence when it cannot be read. */
export interface Surroundings {
  env: Readonly<Record<string, string | undefined>>;
  file(path: string): string;
}

export interface Interpolated {
  text: string;
  /** Whether anything was put in: then the value may be a secret, and is not shown in errors. */
  changed: boolean;
  faults: { start: number; end: number; message: string; hint: string }[];
}

const REFERENCE = /\$(\$?)\{([^}]*)(\}?)/g;
const VARIABLE = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s;

export function interpolate(written: string, from: Surroundings): Interpolated {
  const faults: Interpolated['faults'] = [];
  let changed = false;
  const text = written.replace(REFERENCE, (whole, doubled: string, inner: string, closing: string, start: number) => {
    changed = true;
    if (doubled) return whole.slice(1);
    const fault = (message: string, hint: string) => {
      faults.push({ start, end: start + whole.length, message, hint });
      return '';
    };
    if (!closing) return fault('`${` without its `}`', 'close it, or write `$${` for a plain `${`');
    if (inner.startsWith('file:')) {
      try {
        // The line end that editors put behind the last line is not part of a secret.
        return from.file(inner.slice('file:'.length)).replace(/\r?\n$/, '');
      } catch (error) {
        return fault((error as Error).message, 'the path is relative to the folder of the configuration');
      }
    }
    const [, name, fallback] = VARIABLE.exec(inner) ?? [];
    if (name === undefined) {
      return fault(`\`${whole}\` is not a reference`, '`${NAME}`, `${NAME:-default}` or `${file:path}`');
    }
    const value = from.env[name];
    // As in a shell, `:-` also stands in for an empty variable.
    if (value === undefined || (value === '' && fallback !== undefined)) {
      return (
        fallback ??
        fault(`the environment variable ${name} is not set`, `set it, or give a default: \`\${${name}:-...}\``)
      );
    }
    return value;
  });
  return { text, changed, faults };
}
