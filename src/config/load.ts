/**
 * Reads a configuration from disk: the file itself, and the certificates it names.
 *
 * Owns: files. Does not own: what is in the YAML (`parse.ts`).
 * Invariant: no more than the largest allowed file is read, whatever the path leads to.
 */

import { createPrivateKey, X509Certificate } from "node:crypto";
import { open } from "node:fs/promises";

import type { CertificatesConfig } from "./config.ts";
import { TEXT_LENGTH_MAX } from "./document.ts";
import { type ConfigSource, type ParsedConfig, parseConfig } from "./parse.ts";
import { ConfigError, type ConfigProblem } from "./problem.ts";

interface ConfigFile extends Omit<ConfigSource, "text"> {
  /** Null: no file; the environment and the defaults decide. */
  readonly file: string | null;
  /** Read in place of the file. */
  readonly text?: string;
}

/**
 * Reads, parses and validates a configuration.
 * @throws ConfigError with all problems at once; nothing else
 */
export async function loadConfig(source: ConfigFile): Promise<ParsedConfig> {
  const { file } = source;
  const text = source.text ?? (file === null ? null : await readText(file, ""));
  const parsed = parseConfig({ ...source, text });
  const { https, providers } = parsed.config;
  const { certFile: cert = null, keyFile: key = null } = https ?? {};
  const [own, ...theirs] = await Promise.all([
    readCertificates({ ca: null, cert, key }, LISTENER_KEYS),
    ...providers.map((one, index) => readCertificates(one.certificateFiles, providerKeys(index))),
  ]);
  const problems = [own, ...theirs].flatMap((one) => one.problems);
  if (problems.length > 0) throw new ConfigError(problems);
  const read = providers.map((provider, index) => {
    return { ...provider, certificates: theirs[index]?.certificates ?? provider.certificates };
  });
  return { ...parsed, config: { ...parsed.config, providers: read } };
}

/** The keys that name the files. */
type Keys = Readonly<Record<keyof CertificatesConfig, string>>;

const LISTENER_KEYS: Keys = { ca: "", cert: "cert_file", key: "private_key_file" };

function providerKeys(index: number): Keys {
  const path = `providers[${index}]`;
  return {
    ca: `${path}.ca_file`,
    cert: `${path}.client_cert_file`,
    key: `${path}.client_key_file`,
  };
}

/** What the files hold, and what is wrong with them. */
async function readCertificates(
  files: CertificatesConfig,
  keys: Keys,
): Promise<{ certificates: CertificatesConfig; problems: readonly ConfigProblem[] }> {
  const [ca, cert, key] = await Promise.all([
    readPem(files.ca, keys.ca, "certificate", parseCertificates),
    readPem(files.cert, keys.cert, "certificate", (pem) => new X509Certificate(pem)),
    readPem(files.key, keys.key, "private key without a passphrase", createPrivateKey),
  ]);
  const problems = [ca, cert, key].flatMap((one) => one.problems);
  if (cert.value !== null && key.value !== null && !cert.value.checkPrivateKey(key.value)) {
    const message = `${files.key} is not the key of the certificate in ${files.cert}`;
    problems.push({ path: keys.key, line: null, message });
  }
  return { certificates: { ca: ca.pem, cert: cert.pem, key: key.pem }, problems };
}

/** What one file holds, as text and parsed. */
interface Pem<T> {
  readonly pem: string | null;
  readonly value: T | null;
  readonly problems: readonly ConfigProblem[];
}

async function readPem<T>(
  file: string | null,
  path: string,
  kind: string,
  parse: (pem: string) => T,
): Promise<Pem<T>> {
  if (file === null) return { pem: null, value: null, problems: [] };
  try {
    const pem = await readText(file, path);
    return { pem, value: parse(pem), problems: [] };
  } catch (error) {
    // What the parser says may quote the file, which can be the private key.
    const own = { path, line: null, message: `${file} holds no PEM ${kind}` };
    const problems = error instanceof ConfigError ? error.problems : [own];
    return { pem: null, value: null, problems };
  }
}

/** All of them: the runtime would fail only when it connects. */
function parseCertificates(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/gs) ?? [];
  if (blocks.length === 0) throw new Error("No certificate");
  return blocks.map((block) => new X509Certificate(block));
}

/** A text file of bounded size. */
async function readText(file: string, path: string): Promise<string> {
  const fail = (message: string): never => {
    throw new ConfigError([{ path, line: null, message: `${file} ${message}` }]);
  };
  let bytes: Uint8Array;
  try {
    bytes = await readBounded(file, TEXT_LENGTH_MAX + 1);
  } catch (error) {
    return fail(`cannot be read: ${reasonOf(error)}`);
  }
  if (bytes.length > TEXT_LENGTH_MAX) return fail("is larger than 1MiB");
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return fail("is not UTF-8 text");
  }
}

/** At most `limit` bytes: also of a pipe or device, whose size nobody knows. */
async function readBounded(file: string, limit: number): Promise<Uint8Array> {
  const handle = await open(file, "r");
  try {
    const buffer = new Uint8Array(limit);
    let length = 0;
    while (length < limit) {
      const { bytesRead } = await handle.read(buffer, length, limit - length, null);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return buffer.subarray(0, length);
  } finally {
    await handle.close();
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  EACCES: "permission denied",
  EISDIR: "it is a folder",
};

function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
  return REASONS[code] ?? code;
}
