/**
 * Which database a configuration means: `database_url` and the keys of `database` together.
 *
 * Owns: the parts of the URL, and what may stand behind its `?`. Does not own: connecting.
 * Invariant: a URL parameter is used or refused, never ignored; TLS that is asked for is verified
 * unless the configuration says in so many words that it is not.
 */

import { unbracketed } from "../lib/host_name.ts";
import type { DatabaseConfig } from "./config.ts";
import type { Report } from "./listeners.ts";
import type { RootValues } from "./schema.ts";

const PORT = 5432;

/** libpq's words for it. `require` verifies here too: encryption alone stops no one in between. */
const SSL_MODES: Readonly<Record<string, RootValues["database"]["tls"]>> = {
  disable: "off",
  require: "on",
  "verify-ca": "on",
  "verify-full": "on",
  "no-verify": "no_verify",
};

type Tls = DatabaseConfig["tls"];
type Take = (name: string) => string | null;

/** Null: no database is named, which means SQLite. What is wrong goes to `report`. */
export function databaseOf(values: RootValues, report: Report): DatabaseConfig | null {
  const { database_url: url, database: keys } = values;
  if (url === null) return null;
  const problem = (message: string) => report.problem("database_url", message);
  const parameters = new Map(url.searchParams);
  const take = (name: string) => {
    const value = parameters.get(name) ?? null;
    parameters.delete(name);
    return value;
  };
  const tls = tlsOf(values, url.hostname, take, problem);
  const applicationName = take("application_name") ?? "sluice";
  for (const name of parameters.keys()) {
    problem(`has the parameter ${name}, which is not known; see the keys of database`);
  }
  const user = decoded(url.username);
  const password = decoded(url.password);
  const name = decoded(url.pathname.slice(1));
  if (user === null || password === null || name === null) problem("has a % that encodes nothing");
  if (user === "") problem("names no user: postgres://user:password@host:port/name");
  if (name === "") problem("names no database: postgres://user:password@host:port/name");
  return {
    hostname: unbracketed(url.hostname),
    port: url.port === "" ? PORT : Number(url.port),
    user: user ?? "",
    password: password ?? "",
    name: name ?? "",
    applicationName,
    tls,
    poolSize: keys.pool_size,
    connectTimeoutMs: keys.connect_timeout,
    statementTimeoutMs: keys.statement_timeout,
    idleTimeoutMs: keys.idle_timeout,
    transactionPooler: keys.transaction_pooler,
  };
}

/** What `database` says wins over the URL; neither says anything: no TLS. */
function tlsOf(
  values: RootValues,
  hostname: string,
  take: Take,
  problem: (message: string) => void,
): Tls {
  const { tls: given, tls_ca_file, tls_server_name } = values.database;
  const mode = take("sslmode");
  const caFile = tls_ca_file ?? take("sslrootcert");
  const known = mode === null || Object.hasOwn(SSL_MODES, mode);
  if (!known) {
    const modes = Object.keys(SSL_MODES).join(", ");
    problem(`has an sslmode that is not supported: one of ${modes}`);
  }
  const asked = given ?? SSL_MODES[mode ?? ""] ?? (caFile === null ? "off" : "on");
  if (asked === "off") return null;
  return { verify: asked === "on", caFile, serverName: tls_server_name ?? unbracketed(hostname) };
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
