// The rules Portcullis is measured with: of the usual kinds, and such that the load never matches (a match would end the
// evaluation early).

/** The usual kinds, in the proportions of a hand-written rule set. */
const USUAL = [
  'any(http.request.headers["x-blocked"][*] eq "1")',
  'http.host eq "old.example.com"',
  'http.request.uri.path eq "/internal"',
  'starts_with(http.request.uri.path, "/admin/")',
  'http.request.method in {"TRACE" "TRACK" "DEBUG"}',
  'ip.src eq 203.0.113.9',
  'ip.src in {198.51.100.0/24 203.0.113.0/24}',
  'ip.src in $blocked_ips',
  'http.user_agent contains "sqlmap"',
  'lower(http.user_agent) contains "nikto"',
  'http.request.uri.path matches "[.](php|asp|env)$"',
  'ends_with(http.request.uri.path, ".bak")',
  'http.request.uri.query contains "../"',
  'len(http.request.uri.query) gt 2048',
  'any(http.request.cookies["impersonate"][*] eq "yes")',
  'http.request.uri.path wildcard "/v0/*"',
  'cf.tls_client_auth.cert_issuer_dn contains "Retired CA"',
  'not cf.tls_client_auth.cert_verified and http.host eq "localhost"',
  'cf.tls_client_auth.cert_serial eq "00ff"',
  'http.request.method eq "DELETE" and not ip.src in {10.0.0.0/8 127.0.0.0/8}',
];

/** The first of the usual kinds. */
export function rules(count) {
  if (count > USUAL.length) throw new Error(`there are ${USUAL.length} usual rules; see manyRules`);
  return USUAL.slice(0, count).map((expression, index) => ({ name: `usual-${index}`, expression, action: 'block' }));
}

/** Host, path, method and address rules in equal parts, as lists grown over years look. */
export function manyRules(count) {
  const address = index => `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`;
  const kinds = [
    index => `http.host eq "tenant-${index}.example.com"`,
    index => `http.request.uri.path eq "/retired/${index}"`,
    index => `starts_with(http.request.uri.path, "/legacy/${index}/")`,
    index => `http.request.method eq "PUT" and http.request.uri.path eq "/frozen/${index}"`,
    index => `ip.src eq ${address(index)}`,
    index => `ip.src in {${address(index << 8)}/24}`,
  ];
  // The proofs look for a rule that blocks: the first one is it.
  const first = { name: 'usual-0', expression: USUAL[0], action: 'block' };
  const rest = Array.from({ length: count - 1 }, (_, index) => ({
    name: `many-${index}`,
    expression: kinds[index % kinds.length](index),
    action: 'block',
  }));
  return [first, ...rest];
}
