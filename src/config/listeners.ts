/**
 * Which addresses a configuration means to listen on, and whether they may be open to everyone.
 *
 * Owns: `http_*`, `https_*`, `admin_*` together with the certificate, and `auth: open`.
 * Does not own: listening.
 * Invariant: what nobody named is not reachable from another machine.
 */

import type { Config, EndpointConfig } from "./config.ts";
import type { RootValues } from "./schema.ts";

/** Takes the path of a key and what there is to say about it. */
export interface Report {
  readonly problem: (path: string, message: string) => void;
  readonly warn: (path: string, message: string) => void;
}

type Listeners = Pick<Config, "http" | "https" | "admin">;

/**
 * Named ports, exactly those; none named: cleartext for this machine alone.
 * @param gives whether the file or the environment has this key, right or wrong
 */
export function listenersOf(
  values: RootValues,
  gives: (key: string) => boolean,
  report: Report,
): Listeners {
  const { cert_file: certFile, private_key_file: keyFile } = values;
  const isNamed = gives("http_port") || gives("https_port");
  const bothFiles = certFile !== null && keyFile !== null;
  // OpenProxy's: both files and no port mean HTTPS on its usual port.
  const httpsPort = values.https_port ?? (!isNamed && bothFiles ? 443 : null);
  const httpPort = values.http_port ?? (!isNamed && httpsPort === null ? 8080 : null);
  const hostname = isNamed || httpsPort !== null ? "0.0.0.0" : "127.0.0.1";
  const http =
    httpPort === null ? null : { hostname: values.http_bind_address ?? hostname, port: httpPort };
  const https =
    httpsPort === null || !bothFiles
      ? null
      : { hostname: values.https_bind_address ?? hostname, port: httpsPort, certFile, keyFile };
  const { admin_bind_address, admin_port: port, admin_token: token } = values;
  const admin = { hostname: admin_bind_address, port, token };
  if (httpsPort !== null && !bothFiles) {
    report.problem("https_port", "needs both cert_file and private_key_file");
  } else if (httpsPort === null && !gives("https_port")) {
    for (const key of ["cert_file", "private_key_file"] as const) {
      if (values[key] !== null) report.warn(key, "is not used without https_port");
    }
  }
  reportSamePort({ http_port: http, https_port: https, admin_port: admin }, report);
  return { http, https, admin };
}

/** Open to everyone and reachable by everyone must be said twice. */
export function reportOpen(
  values: RootValues,
  { http, https }: Listeners,
  problem: Report["problem"],
): void {
  const reachable = [http, https].find((one) => one !== null && !isLoopback(one.hostname));
  if (values.auth_open_anywhere || reachable === undefined || reachable === null) return;
  const message =
    `open would let in anyone who reaches ${reachable.hostname}; bind to 127.0.0.1, ` +
    "or write auth_open_anywhere: true";
  if (values.auth === "open") problem("auth", message);
  for (const [index, provider] of (values.providers ?? []).entries()) {
    if (provider.auth === "open") problem(`providers[${index}].auth`, message);
  }
}

function reportSamePort(
  endpoints: Readonly<Record<string, EndpointConfig | null>>,
  report: Report,
): void {
  const seen: (readonly [string, EndpointConfig])[] = [];
  for (const [key, one] of Object.entries(endpoints)) {
    if (one === null) continue;
    const other = seen.find(([, earlier]) => collide(earlier, one));
    if (other !== undefined) report.problem(key, `${one.port} is also the ${other[0]}`);
    seen.push([key, one]);
  }
}

function collide(one: EndpointConfig, other: EndpointConfig): boolean {
  if (one.port === 0 || one.port !== other.port) return false;
  return one.hostname === other.hostname || [one, other].some(isAnyAddress);
}

function isAnyAddress({ hostname }: EndpointConfig): boolean {
  return hostname === "0.0.0.0" || hostname === "::";
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "::1" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}
