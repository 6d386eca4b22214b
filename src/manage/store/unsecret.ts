// What is written down for good, in the audit log, holds no secret, whatever a caller hands in.

/** In place of a secret. */
export const REMOVED = '[removed]';

/** Members that are secret by their name, in any spelling: `private_key`, `privateKey`, `password`, `token`. */
const SECRET_NAME =
  /^(.*(password|passphrase|passwd|secret|private_?key|sealed|credential|bearer|authorization).*|key|token|pin|hash)$/i;
/** Texts that are secret by their form: private keys, and what is shown once: tokens, API keys, enrolment secrets. */
const SECRET_TEXT = /-----BEGIN [A-Z0-9 ]*PRIVATE KEY|\bpc[tke]_[0-9a-f]{12}_[0-9A-Za-z_-]{20}/;
/** Deeper than anything that is audited. */
const MAX_DEPTH = 16;

/** A copy of what JSON can say, without secrets. */
export function withoutSecrets(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return SECRET_TEXT.test(value) ? REMOVED : value;
  if (typeof value !== 'object' || value === null) return value;
  if (depth === MAX_DEPTH || value instanceof Uint8Array) return REMOVED;
  if (value instanceof Date) return value;
  if (Array.isArray(value)) return value.map(item => withoutSecrets(item, depth + 1));
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, kept(name, member, depth + 1)]));
}

/** Whether there is a secret may be told (`password: null`, `has_key: true`); what it is may not. */
function kept(name: string, member: unknown, depth: number): unknown {
  const says = typeof member === 'string' || member instanceof Uint8Array;
  return says && SECRET_NAME.test(name) ? REMOVED : withoutSecrets(member, depth);
}
