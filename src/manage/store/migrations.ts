// How the store comes to be what tables.ts says, step by step. A step that was released never changes.

import { DEFAULT_MIGRATION_TABLE, type Kysely, type Migration, Migrator, PostgresAdapter, sql } from 'kysely';
import { StoreRefused } from './refused.js';
import type { Tables, Topic } from './tables.js';

const FIRST_TOPICS = [
  'audit',
  'tokens',
  'authorities',
  'certificates',
  'revocations',
  'revocation_lists',
  'enrolments',
  'mtls_rules',
] as const;

const first: Migration = {
  async up(db: Kysely<unknown>) {
    const { schema } = db;
    const text = textOf(db);
    const table = schema.createTable.bind(schema);
    await table('meta')
      .addColumn('key', text, column => column.primaryKey())
      .addColumn('value', text, column => column.notNull())
      .execute();
    await table('revisions')
      .addColumn('topic', text, column => column.primaryKey())
      .addColumn('value', 'bigint', column => column.notNull())
      .execute();
    await addTopics(db, FIRST_TOPICS);
    await table('audit')
      .addColumn('seq', 'bigint', column => column.primaryKey())
      .addColumn('at', 'bigint', column => column.notNull())
      .addColumn('actor', text, column => column.notNull())
      .addColumn('action', text, column => column.notNull())
      .addColumn('target', text, column => column.notNull())
      .addColumn('before', text)
      .addColumn('after', text)
      .addColumn('previous', text, column => column.notNull())
      .addColumn('hash', text, column => column.notNull())
      .execute();
    await table('tokens')
      .addColumn('id', text, column => column.primaryKey())
      .addColumn('name', text, column => column.notNull())
      .addColumn('role', text, column => column.notNull())
      .addColumn('hash', text, column => column.notNull().unique())
      .addColumn('created_at', 'bigint', column => column.notNull())
      .addColumn('created_by', text, column => column.notNull())
      .addColumn('expires_at', 'bigint')
      .addColumn('last_used_at', 'bigint')
      .addColumn('revoked_at', 'bigint')
      .addColumn('version', 'bigint', column => column.notNull())
      .execute();
    await table('authorities')
      .addColumn('name', text, column => column.primaryKey())
      .addColumn('kind', text, column => column.notNull())
      .addColumn('state', text, column => column.notNull())
      .addColumn('created_at', 'bigint', column => column.notNull())
      .addColumn('settings', text, column => column.notNull())
      .addColumn('revocation', text, column => column.notNull())
      .addColumn('version', 'bigint', column => column.notNull())
      .execute();
    await table('generations')
      .addColumn('id', text, column => column.primaryKey())
      .addColumn('authority', text, column => column.notNull().references('authorities.name'))
      .addColumn('number', 'bigint', column => column.notNull())
      .addColumn('state', text, column => column.notNull())
      .addColumn('certificate', text, column => column.notNull())
      .addColumn('chain', text, column => column.notNull())
      .addColumn('sealed_key', text)
      .addColumn('key_id', text, column => column.notNull())
      .addColumn('subject', text, column => column.notNull())
      .addColumn('not_before', 'bigint', column => column.notNull())
      .addColumn('not_after', 'bigint', column => column.notNull())
      .addColumn('trusted_until', 'bigint')
      .addColumn('created_at', 'bigint', column => column.notNull())
      .execute();
    await table('certificates')
      .addColumn('key_id', text, column => column.notNull())
      .addColumn('serial', text, column => column.notNull())
      .addColumn('fingerprint', text, column => column.notNull().unique())
      .addColumn('authority', text, column => column.notNull())
      .addColumn('generation', 'bigint', column => column.notNull())
      .addColumn('name', text, column => column.notNull())
      .addColumn('subject', text, column => column.notNull())
      .addColumn('names', text, column => column.notNull())
      .addColumn('profile', text, column => column.notNull())
      .addColumn('partner', text)
      .addColumn('not_before', 'bigint', column => column.notNull())
      .addColumn('not_after', 'bigint', column => column.notNull())
      .addColumn('issued_at', 'bigint', column => column.notNull())
      .addColumn('issued_by', text, column => column.notNull())
      .addColumn('renews', text)
      .addColumn('certificate', text, column => column.notNull())
      .addColumn('revision', 'bigint', column => column.notNull())
      .addPrimaryKeyConstraint('certificates_pk', ['key_id', 'serial'])
      .execute();
    await table('revocations')
      .addColumn('id', text, column => column.primaryKey())
      .addColumn('key_id', text)
      .addColumn('serial', text)
      .addColumn('fingerprint', text)
      .addColumn('authority', text)
      .addColumn('state', text, column => column.notNull())
      .addColumn('reason', text, column => column.notNull())
      .addColumn('at', 'bigint', column => column.notNull())
      .addColumn('by', text, column => column.notNull())
      .addColumn('revision', 'bigint', column => column.notNull())
      .execute();
    await table('revocation_lists')
      .addColumn('id', text, column => column.primaryKey())
      .addColumn('authority', text, column => column.notNull())
      .addColumn('source', text, column => column.notNull())
      .addColumn('key_id', text, column => column.notNull())
      .addColumn('number', text, column => column.notNull())
      .addColumn('list', text, column => column.notNull())
      .addColumn('this_update', 'bigint', column => column.notNull())
      .addColumn('next_update', 'bigint', column => column.notNull())
      .addColumn('at', 'bigint', column => column.notNull())
      .addColumn('revision', 'bigint', column => column.notNull())
      .execute();
    await table('enrolments')
      .addColumn('id', text, column => column.primaryKey())
      .addColumn('name', text, column => column.notNull())
      .addColumn('authority', text, column => column.notNull())
      .addColumn('profile', text, column => column.notNull())
      .addColumn('hash', text, column => column.notNull().unique())
      .addColumn('uses_left', 'bigint')
      .addColumn('expires_at', 'bigint', column => column.notNull())
      .addColumn('created_at', 'bigint', column => column.notNull())
      .addColumn('created_by', text, column => column.notNull())
      .addColumn('revoked_at', 'bigint')
      .addColumn('version', 'bigint', column => column.notNull())
      .execute();
    await table('mtls_rules')
      .addColumn('id', text, column => column.primaryKey())
      .addColumn('host', text, column => column.notNull())
      .addColumn('path', text, column => column.notNull())
      .addColumn('mode', text, column => column.notNull())
      .addColumn('action', text, column => column.notNull())
      .addColumn('trust', text, column => column.notNull())
      .addColumn('created_at', 'bigint', column => column.notNull())
      .addColumn('version', 'bigint', column => column.notNull())
      .addUniqueConstraint('mtls_rules_place', ['host', 'path'])
      .execute();
    await table('seen')
      .addColumn('fingerprint', text, column => column.primaryKey())
      .addColumn('authority', text)
      .addColumn('key_id', text)
      .addColumn('serial', text, column => column.notNull())
      .addColumn('subject', text, column => column.notNull())
      .addColumn('issuer', text, column => column.notNull())
      .addColumn('not_before', 'bigint', column => column.notNull())
      .addColumn('not_after', 'bigint', column => column.notNull())
      .addColumn('first_seen', 'bigint', column => column.notNull())
      .addColumn('last_seen', 'bigint', column => column.notNull())
      .addColumn('requests', 'bigint', column => column.notNull())
      .addColumn('hosts', text, column => column.notNull())
      .execute();
    await table('mtls_hours')
      .addColumn('host', text, column => column.notNull())
      .addColumn('operation', text, column => column.notNull())
      .addColumn('hour', 'bigint', column => column.notNull())
      .addColumn('node', text, column => column.notNull())
      .addColumn('valid', 'bigint', column => column.notNull())
      .addColumn('absent', 'bigint', column => column.notNull())
      .addColumn('invalid', 'bigint', column => column.notNull())
      .addPrimaryKeyConstraint('mtls_hours_pk', ['host', 'operation', 'hour', 'node'])
      .execute();
    const indexes: [string, string, string[]][] = [
      ['certificates_by_authority', 'certificates', ['authority', 'issued_at']],
      ['certificates_by_subject', 'certificates', ['subject']],
      ['certificates_by_expiry', 'certificates', ['not_after']],
      ['certificates_by_partner', 'certificates', ['partner']],
      ['certificates_by_revision', 'certificates', ['revision']],
      ['revocations_by_revision', 'revocations', ['revision']],
      ['generations_by_authority', 'generations', ['authority', 'number']],
      ['seen_by_authority', 'seen', ['authority', 'last_seen']],
      ['seen_by_time', 'seen', ['last_seen']],
      ['mtls_hours_by_hour', 'mtls_hours', ['hour']],
    ];
    for (const [name, on, columns] of indexes) await schema.createIndex(name).on(on).columns(columns).execute();
  },
};

const callers: Migration = {
  async up(db: Kysely<unknown>) {
    const { schema } = db;
    const text = textOf(db);
    const table = schema.createTable.bind(schema);
    await addTopics(db, ['partners', 'keys', 'token_revocations']);
    await table('partners')
      .addColumn('name', text, column => column.primaryKey())
      .addColumn('owner', text, column => column.notNull())
      .addColumn('contact', text, column => column.notNull())
      .addColumn('expires_at', 'bigint')
      .addColumn('suspended_at', 'bigint')
      .addColumn('suspended_why', text)
      .addColumn('certificates', text, column => column.notNull())
      .addColumn('tokens', text, column => column.notNull())
      .addColumn('operations', text, column => column.notNull())
      .addColumn('quota', text)
      .addColumn('created_at', 'bigint', column => column.notNull())
      .addColumn('created_by', text, column => column.notNull())
      .addColumn('version', 'bigint', column => column.notNull())
      .addColumn('revision', 'bigint', column => column.notNull())
      .execute();
    await table('keys')
      .addColumn('id', text, column => column.primaryKey())
      .addColumn('name', text, column => column.notNull())
      .addColumn('kind', text, column => column.notNull())
      .addColumn('partner', text)
      .addColumn('scopes', text, column => column.notNull())
      .addColumn('certificates', text, column => column.notNull())
      .addColumn('networks', text, column => column.notNull())
      .addColumn('hosts', text, column => column.notNull())
      .addColumn('expires_at', 'bigint')
      .addColumn('created_at', 'bigint', column => column.notNull())
      .addColumn('created_by', text, column => column.notNull())
      .addColumn('revoked_at', 'bigint')
      .addColumn('revoked_by', text)
      .addColumn('revoked_why', text)
      .addColumn('last_used_at', 'bigint')
      .addColumn('version', 'bigint', column => column.notNull())
      .addColumn('revision', 'bigint', column => column.notNull())
      .execute();
    await table('key_secrets')
      .addColumn('digest', text, column => column.primaryKey())
      .addColumn('key_id', text, column => column.notNull().references('keys.id'))
      .addColumn('created_at', 'bigint', column => column.notNull())
      .addColumn('not_after', 'bigint')
      .execute();
    await table('token_revocations')
      .addColumn('id', text, column => column.primaryKey())
      .addColumn('configuration', text, column => column.notNull())
      .addColumn('kind', text, column => column.notNull())
      .addColumn('value', text, column => column.notNull())
      .addColumn('state', text, column => column.notNull())
      .addColumn('at', 'bigint', column => column.notNull())
      .addColumn('until', 'bigint')
      .addColumn('by', text, column => column.notNull())
      .addColumn('why', text)
      .addColumn('revision', 'bigint', column => column.notNull())
      .execute();
    const indexes: [string, string, string[]][] = [
      ['keys_by_revision', 'keys', ['revision']],
      ['keys_by_partner', 'keys', ['partner', 'created_at', 'id']],
      ['keys_by_creation', 'keys', ['created_at', 'id']],
      ['keys_by_name', 'keys', ['name']],
      ['keys_by_standing', 'keys', ['revoked_at', 'expires_at', 'id']],
      ['key_secrets_by_key', 'key_secrets', ['key_id']],
      ['partners_by_revision', 'partners', ['revision']],
      ['token_revocations_by_revision', 'token_revocations', ['revision']],
    ];
    for (const [name, on, columns] of indexes) await schema.createIndex(name).on(on).columns(columns).execute();
  },
};

/** Rate limits: who is exempt, what was taken back, and what was asked of each operation. */
const limits: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    const text = textOf(db);
    const { schema } = db;
    await addTopics(db, ['limits']);
    await schema
      .createTable('limit_exemptions')
      .addColumn('rule', text, column => column.notNull())
      .addColumn('key', text, column => column.notNull())
      .addColumn('until', 'bigint')
      .addColumn('why', text)
      .addColumn('by', text, column => column.notNull())
      .addColumn('created_at', 'bigint', column => column.notNull())
      .addColumn('revision', 'bigint', column => column.notNull())
      .addPrimaryKeyConstraint('limit_exemptions_key', ['rule', 'key'])
      .execute();
    await schema
      .createTable('limit_resets')
      .addColumn('rule', text, column => column.notNull())
      .addColumn('key', text, column => column.notNull())
      .addColumn('at', 'bigint', column => column.notNull())
      .addColumn('revision', 'bigint', column => column.notNull())
      .addPrimaryKeyConstraint('limit_resets_key', ['rule', 'key'])
      .execute();
    await schema
      .createTable('volumes')
      .addColumn('host', text, column => column.notNull())
      .addColumn('operation', text, column => column.notNull())
      .addColumn('bucket', 'bigint', column => column.notNull())
      .addColumn('node', text, column => column.notNull())
      .addColumn('data', text, column => column.notNull())
      .addPrimaryKeyConstraint('volumes_key', ['host', 'operation', 'bucket', 'node'])
      .execute();
    await schema.createIndex('volumes_by_bucket').on('volumes').columns(['bucket']).execute();
  },
};

async function addTopics(db: Kysely<unknown>, topics: readonly Topic[]): Promise<void> {
  for (const topic of topics) await sql`insert into revisions (topic, value) values (${topic}, 0)`.execute(db);
}

/** Their order is the order of their names. */
const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-pki': first,
  '0002-callers': callers,
  '0003-limits': limits,
};

/** Takes the store to what this program knows: everything or nothing, one process after the other. */
export async function migrate(db: Kysely<Tables>): Promise<void> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => MIGRATIONS } });
  const strange = (await done(db)).find(name => !(name in MIGRATIONS));
  if (strange !== undefined) {
    throw new StoreRefused(
      `the store was made by a newer version of Portcullis (\`${strange}\` is unknown to this one)`,
      'run that version, or restore a backup from before the upgrade',
    );
  }
  const { error } = await migrator.migrateToLatest();
  if (error) throw error;
}

async function done(db: Kysely<Tables>): Promise<string[]> {
  const tables = await db.introspection.getTables({ withInternalKyselyTables: true });
  if (!tables.some(({ name }) => name === DEFAULT_MIGRATION_TABLE)) return [];
  const { rows } = await sql<{ name: string }>`select name from ${sql.table(DEFAULT_MIGRATION_TABLE)}`.execute(db);
  return rows.map(({ name }) => name);
}

/** Compared byte by byte on PostgreSQL too, whatever the database's own order is: a cursor means the same on both. */
function textOf(db: Kysely<unknown>) {
  return db.getExecutor().adapter instanceof PostgresAdapter ? sql`text collate "C"` : 'text';
}
