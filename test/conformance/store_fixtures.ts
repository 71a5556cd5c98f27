/** What the parts of the store suite share: an opened store, and rows to put into it. */

import { afterAll, beforeAll, describe } from "bun:test";

import type {
  AuditEntry,
  CredentialRow,
  ProjectRow,
  SigningKeyRow,
  Store,
  TokenRow,
} from "../../src/store/store.ts";
import { UNRESTRICTED } from "../support/unrestricted.ts";

export interface OpenedStore {
  /** Of node `node_1`. */
  readonly store: Store;
  /** A second store on the same database, as another process would have it: `node_2`. */
  readonly other: Store;
  /** Opens one more. */
  open(nodeId: string): Promise<Store>;
  /** Does something to the database behind the stores' backs. */
  exec(sql: string): Promise<void>;
  /** Lets those look for changes who do so at intervals. */
  look(): void;
  dispose(): Promise<void>;
}

/** Opens stores on an empty, migrated database that is the test's own. */
export type OpenStore = () => Promise<OpenedStore>;

/** A `describe` whose tests have a database of their own, handed to `take` before the first. */
export function freshly(openStore: OpenStore, take: (opened: OpenedStore) => unknown) {
  return (title: string, define: () => void): void => {
    describe(title, () => {
      let opened: OpenedStore;
      beforeAll(async () => {
        opened = await openStore();
        await take(opened);
      });
      afterAll(() => opened.dispose());
      define();
    });
  };
}

/** Who did it. */
export function by(action = "test", change: Partial<AuditEntry> = {}): AuditEntry {
  const who = { actor: "ops", request_id: "req_1", client_address: "192.0.2.1" };
  return { ...who, action, subject: "", outcome: "done", details: {}, ...change };
}

export function project(id: string, change: Partial<ProjectRow> = {}): ProjectRow {
  const times = { created_at: 1000, updated_at: 1000, deactivated_at: null };
  return { id, name: `name of ${id}`, is_active: true, ...times, ...UNRESTRICTED, ...change };
}

export function credential(id: string, change: Partial<CredentialRow> = {}): CredentialRow {
  const values = { label: null, ciphertext: `v1.${id}`, masked: "sk-a****wxyz" };
  const owner = { project_id: "p1", provider: "openai" };
  return { id, ...owner, ...values, created_at: 1000, updated_at: 1000, ...change };
}

export function token(id: string, change: Partial<TokenRow> = {}): TokenRow {
  const times = { created_at: 1000, expires_at: 9000, revoked_at: null };
  const use = { last_used_at: null, request_count: 0, cache_hit_count: 0 };
  return { id, project_id: "p1", label: null, ...times, ...UNRESTRICTED, ...use, ...change };
}

export function signingKey(kid: string, change: Partial<SigningKeyRow> = {}): SigningKeyRow {
  const key = { algorithm: "EdDSA", public_jwk: "{}", ciphertext: "v1.k", created_at: 1000 };
  return { kid, ...key, ...change };
}
