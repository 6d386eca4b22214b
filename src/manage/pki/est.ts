// Enrolment over Secure Transport (RFC 7030, clarified by RFC 8951): how devices that speak a standard get their first
// certificate, with a secret, and the next ones, with the certificate they have.

import type { OwnAnswer, OwnRequest } from '../../own-paths.js';
import { Refusal } from '../admin/api.js';
import { Failures } from '../admin/failures.js';
import type { Log } from '../log.js';
import { pemsOf } from './authorities.js';
import { authorityCertificates } from './authority-list.js';
import type { Request } from './commands.js';
import * as commands from './commands.js';
import { isFor, openEnrolment, useEnrolment } from './enrolments.js';
import { auditable, type IssuedCertificate, issue, keep, readCsr } from './issue.js';
import { commonName, isSame, NO_NAMES } from './names.js';
import { refusedPlainly } from './own.js';
import { renew, renewable } from './renew.js';
import { byItself, type Pki } from './service.js';

const METHODS: Record<string, string> = {
  cacerts: 'GET',
  csrattrs: 'GET',
  simpleenroll: 'POST',
  simplereenroll: 'POST',
};

/** RFC 7030, 4.2.1. */
const PKCS10 = 'application/pkcs10';
/** RFC 7030, 4.1.3 and 4.2.3. */
const CERTIFICATES = 'application/pkcs7-mime; smime-type=certs-only';
const BASE64_LINE = 76;

export class Est {
  readonly #pki: Pki;
  readonly #failures: Failures;

  constructor(pki: Pki, log: Pick<Log, 'warn'>) {
    this.#pki = pki;
    const warn = (fields: object) => log.warn(fields, 'an enrolment secret was refused');
    this.#failures = new Failures({ warn } as never, () => pki.now());
  }

  /** `label`: the authority that the path names, or null. Throws Refusal. */
  async answer(request: OwnRequest, body: Buffer, label: string | null, operation: string): Promise<OwnAnswer> {
    const method = METHODS[operation];
    if (method === undefined) throw new Refusal(501, `${operation} is not offered here.`);
    if (request.method !== method && !(method === 'GET' && request.method === 'HEAD')) {
      return refusedPlainly(405, `${operation} is asked for by ${method}.`, [['Allow', method]]);
    }
    if (operation === 'cacerts') return this.#authorities(label);
    // RFC 7030, 4.5.2: nothing is demanded of requests beyond what the profile takes over.
    if (operation === 'csrattrs') return { status: 204, headers: [], body: '' };
    if (mediaType(request.contentType) !== PKCS10) {
      throw new Refusal(415, `A certification request is sent as ${PKCS10}.`);
    }
    const csr = body.toString('latin1').trim();
    if (csr === '') throw new Refusal(400, 'There is no certification request in the body.');
    return operation === 'simpleenroll' ? this.#enroll(request, csr, label) : this.#reenroll(request, csr, label);
  }

  /** RFC 7030, 4.1: what a device verifies other devices of the authority by. */
  async #authorities(label: string | null): Promise<OwnAnswer> {
    const name = label ?? (await this.#only());
    const trusted = await authorityCertificates(this.#pki, name, 'trusted');
    const issuer = await authorityCertificates(this.#pki, name, 'issuing');
    const all = [...new Set([...pemsOf(issuer), ...pemsOf(trusted)])];
    if (all.length === 0) throw new Refusal(404, 'This authority is not in force.');
    return this.#certificates(all);
  }

  async #enroll(request: OwnRequest, csr: string, label: string | null): Promise<OwnAnswer> {
    const pki = this.#pki;
    const wait = this.#failures.wait(request.address);
    if (wait > 0) {
      this.#failures.failed(request.address, 'throttled');
      throw new Refusal(429, 'Too many wrong secrets.', undefined, [], { headers: { 'Retry-After': String(wait) } });
    }
    const secret = basic(request.authorization);
    const enrolment = secret === null ? null : await openEnrolment(pki, secret);
    if (!enrolment || (label !== null && label !== enrolment.authority)) {
      // Asking without a secret is how clients learn that one is needed (RFC 7030, 3.2.3).
      if (secret !== null) this.#failures.failed(request.address, 'enrolment');
      return refusedPlainly(401, 'Enrolling takes the secret of an enrolment that is open.', [
        ['WWW-Authenticate', 'Basic realm="enrolment", charset="UTF-8"'],
      ]);
    }
    const asked = await readCsr(pki, csr);
    const name = asked.subject.common_name ?? (enrolment.name.includes('*') ? '' : enrolment.name);
    if (!isFor(enrolment, name) || !commonName.safeParse(name).success) {
      throw new Refusal(403, 'The request has another common name than the enrolment is for.');
    }
    const issuedBy = `enrolment ${enrolment.id}`;
    const { authority, profile } = enrolment;
    const wanted = { authority, profile, name, ...NO_NAMES, csr, allow_dropping: false };
    const issued = await issue(pki, wanted, issuedBy);
    const { row } = issued;
    await keep(
      pki,
      [row],
      async (tx, revisions) => {
        await useEnrolment(pki, tx, enrolment.id);
        const change = { action: 'pki.certificate.enrol', target: row.fingerprint, after: auditable(row) };
        await byItself(issuedBy).audit(tx, revisions, change);
      },
      ['enrolments'],
    );
    return this.#issued(issued);
  }

  async #reenroll(request: OwnRequest, csr: string, label: string | null): Promise<OwnAnswer> {
    const old = await renewable(this.#pki, request);
    if (label !== null && label !== old.authority) {
      throw new Refusal(403, 'The client certificate is of another authority than the path names.');
    }
    return this.#issued(await renew(this.#pki, old, csr, asked => refuseOtherNames(asked, old)));
  }

  /** RFC 7030, 4.2.3: the certificate alone; what is above it is asked for by cacerts. */
  #issued({ row }: IssuedCertificate): Promise<OwnAnswer> {
    return this.#certificates([row.certificate]);
  }

  async #certificates(certificates: string[]): Promise<OwnAnswer> {
    const { der } = await this.#pki.ask(commands.pkcs7, { certificates });
    const lines = der.match(new RegExp(`.{1,${BASE64_LINE}}`, 'g')) ?? [];
    return {
      status: 200,
      headers: [
        ['Content-Type', CERTIFICATES],
        ['Content-Transfer-Encoding', 'base64'],
        ['Cache-Control', 'no-store'],
      ],
      body: `${lines.join('\r\n')}\r\n`,
    };
  }

  /** The authority of paths without a label. */
  async #only(): Promise<string> {
    const pki = this.#pki;
    const { authority } = pki.settings.est;
    if (authority !== undefined) return authority;
    const rows = await pki.store.db
      .selectFrom('authorities')
      .select('name')
      .where('state', '=', 'active')
      .where('kind', '=', 'hosted')
      .limit(2)
      .execute();
    const [only] = rows;
    if (only && rows.length === 1) return only.name;
    throw new Refusal(404, 'The path has to name an authority: /.well-known/est/<authority>/cacerts.');
  }
}

/** RFC 7030, 4.2.2: subject and alternative names are those of the certificate that asks. */
function refuseOtherNames(asked: Request, old: { subject: string; names: string }): void {
  const names = JSON.parse(old.names);
  if (asked.subject_text === old.subject && asked.other_names.length === 0 && isSame(asked, names)) return;
  throw new Refusal(400, 'The request has another subject or other alternative names than the certificate.');
}

/** The password; the user's name says nothing, since the secret names its enrolment (RFC 7617, 2). */
function basic(authorization: string | null): string | null {
  const [, encoded] = /^basic +([A-Za-z0-9+/=_-]{1,1000})$/i.exec(authorization ?? '') ?? [];
  if (encoded === undefined) return null;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const at = text.indexOf(':');
  return at < 0 ? null : text.slice(at + 1);
}

function mediaType(contentType: string | null): string {
  return (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}
