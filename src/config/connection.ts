/**
 * How a provider's upstream is connected to: connections that are kept, and certificates.
 *
 * Owns: what these keys mean together. Does not own: what is in the files (`load.ts`).
 * Invariant: nothing is promised that the runtime cannot keep.
 */

import type { CertificatesConfig, ConnectionConfig } from "./config.ts";
import {
  type ApiValues,
  IDLE_MAX,
  IDLE_TIMEOUT_MS_MAX,
  PROVIDER_KEYS,
  type ProviderValues,
} from "./provider_schema.ts";

/** Reports at a key of the provider. */
type Report = (key: string, message: string) => void;

/** What is kept of a provider's connections. */
export function connectionOf({ connection }: ProviderValues): ConnectionConfig {
  return { idleMax: connection.max_idle, idleTimeoutMs: connection.idle_timeout };
}

/**
 * The files that a provider names.
 * @param isTls whether they are of any use
 */
export function certificateFilesOf(
  { ca_file: ca, client_cert_file: cert, client_key_file: key }: ProviderValues,
  isTls: boolean,
  report: Report,
): CertificatesConfig {
  if (cert !== null && key === null) {
    report("client_key_file", "is missing: client_cert_file needs its key");
  }
  if (cert === null && key !== null) {
    report("client_cert_file", "is missing: client_key_file needs its certificate");
  }
  const files = { ca_file: ca, client_cert_file: cert, client_key_file: key };
  for (const [name, file] of Object.entries(files)) {
    if (file !== null && !isTls) report(name, "is for TLS, and the upstream is reached without it");
  }
  return { ca, cert, key };
}

/**
 * What a llm-proxy file asks for, as far as it goes. In Go, which reads it there, 0 is no limit.
 * @param warn called with the key below the API, and what becomes of it
 */
export function connectionOfApi(
  { connection, timeouts }: ApiValues,
  warn: Report,
): ProviderValues["connection"] {
  const { fallback } = PROVIDER_KEYS.connection;
  const within = (key: string, asked: number, most: number, words: string): number => {
    if (asked > 0 && asked <= most) return asked;
    warn(key, `is taken as ${words}, the most there can be`);
    return most;
  };
  const { max_idle_conns: ofAll, max_idle_conns_per_host: perHost } = connection;
  // Left at 0, the one of a host has a default there too.
  const [name, asked] = perHost ? ["max_idle_conns_per_host", perHost] : ["max_idle_conns", ofAll];
  const { idle_connection: idle } = timeouts;
  return {
    max_idle:
      asked === null
        ? fallback.max_idle
        : within(`connection.${name}`, asked, IDLE_MAX, String(IDLE_MAX)),
    idle_timeout:
      idle === null
        ? fallback.idle_timeout
        : within("timeouts.idle_connection", idle, IDLE_TIMEOUT_MS_MAX, "238m"),
  };
}
