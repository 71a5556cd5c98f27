/**
 * Reads a configuration from disk: the file itself, and the certificates it names.
 *
 * Owns: files. Does not own: what is in the YAML (`parse.ts`).
 * Invariant: no more than the largest allowed file is read, whatever the path leads to.
 */

import { createPrivateKey, X509Certificate } from "node:crypto";
import { open } from "node:fs/promises";

import type { Config } from "./config.ts";
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
  const text = source.text ?? (file === null ? null : await readText(file, "", file));
  const parsed = parseConfig({ ...source, text });
  if (parsed.config.https !== null) await checkCertificate(parsed.config.https);
  return parsed;
}

async function checkCertificate({
  certFile,
  keyFile,
}: NonNullable<Config["https"]>): Promise<void> {
  const [certificate, key] = await Promise.all([
    attempt("cert_file", async () => {
      return new X509Certificate(await readText(certFile, "cert_file", certFile));
    }),
    attempt("private_key_file", async () => {
      return createPrivateKey(await readText(keyFile, "private_key_file", keyFile));
    }),
  ]);
  const problems: ConfigProblem[] = [certificate, key].flatMap((one) => one.problems);
  if (certificate.value !== null && key.value !== null) {
    if (!certificate.value.checkPrivateKey(key.value)) {
      const message = `${keyFile} is not the key of the certificate in ${certFile}`;
      problems.push({ path: "private_key_file", line: null, message });
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
}

async function attempt<T>(
  path: string,
  run: () => Promise<T>,
): Promise<{ value: T | null; problems: readonly ConfigProblem[] }> {
  try {
    return { value: await run(), problems: [] };
  } catch (error) {
    if (error instanceof ConfigError) return { value: null, problems: error.problems };
    // What the parser says may quote the file, which can be the private key.
    const kind = path === "cert_file" ? "certificate" : "private key without a passphrase";
    return { value: null, problems: [{ path, line: null, message: `holds no PEM ${kind}` }] };
  }
}

/** A text file of bounded size. `what` begins the message where it cannot be read. */
async function readText(file: string, path: string, what: string): Promise<string> {
  const fail = (message: string): never => {
    throw new ConfigError([{ path, line: null, message: `${what} ${message}` }]);
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
