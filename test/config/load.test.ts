import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { loadConfig } from "../../src/config/load.ts";
import { ConfigError } from "../../src/config/problem.ts";

const golden = join(import.meta.dir, "../golden/config");
const certFile = join(golden, "localhost.crt.pem");
const keyFile = join(golden, "localhost.key.pem");
const otherKeyFile = join(golden, "other.key.pem");

let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-config-"));
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function problems(source: { file?: string; text?: string }): Promise<string[]> {
  try {
    await loadConfig({ file: null, env: {}, ...source });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ path, message }) => `${path}: ${message}`);
  }
  throw new Error("The configuration was accepted");
}

function tls(cert: string, key: string): string {
  return `https_port: 0\ncert_file: ${cert}\nprivate_key_file: ${key}\n`;
}

/** A provider without certificates, and one with them. */
function provider(more: string, cert: string, key: string): string {
  const files = `client_cert_file: ${cert}, client_key_file: ${key}`;
  return `providers: [{type: gemini}, {type: openai, ${more}, ${files}}]`;
}

describe("loadConfig()", () => {
  test("reads the file", async () => {
    const file = join(folder, "good.yml");
    await writeFile(file, "http_port: 81\n");
    const { config } = await loadConfig({ file, env: {} });
    expect(config.http?.port).toBe(81);
  });

  test("does without a file", async () => {
    const { config } = await loadConfig({ file: null, env: { PORT: "82" } });
    expect(config.http?.port).toBe(82);
  });

  test.each([
    [true, "", "pretty"],
    [false, "", "json"],
    [true, "log: {file: /x}", "json"],
    [true, "log: {format: json}", "json"],
    [false, "log: {format: pretty}", "pretty"],
  ])("with terminal %p and %p logs as %s", async (terminal, text, format) => {
    const { config } = await loadConfig({ file: null, text, env: {}, terminal });
    expect(config.log.format).toBe(format as "json" | "pretty");
  });

  test("takes a certificate with its key", async () => {
    const { config } = await loadConfig({ file: null, text: tls(certFile, keyFile), env: {} });
    expect(config.https).toEqual({ hostname: "0.0.0.0", port: 0, certFile, keyFile });
  });

  test("refuses the key of another certificate", async () => {
    expect(await problems({ text: tls(certFile, otherKeyFile) })).toEqual([
      `private_key_file: ${otherKeyFile} is not the key of the certificate in ${certFile}`,
    ]);
  });

  test("refuses files that are missing or hold something else, both at once", async () => {
    expect(await problems({ text: tls("/nowhere/c.pem", certFile) })).toEqual([
      "cert_file: /nowhere/c.pem cannot be read: no such file",
      `private_key_file: ${certFile} holds no PEM private key without a passphrase`,
    ]);
    expect(await problems({ text: tls(keyFile, keyFile) })).toEqual([
      `cert_file: ${keyFile} holds no PEM certificate`,
    ]);
  });

  test("reads the certificates of providers", async () => {
    const text = provider(`ca_file: ${certFile}`, certFile, keyFile);
    const { config } = await loadConfig({ file: null, text, env: {} });
    const [cert, key] = await Promise.all(
      [certFile, keyFile].map((file) => readFile(file, "utf8")),
    );
    expect(config.providers.map(({ certificates }) => certificates)).toEqual([
      { ca: null, cert: null, key: null },
      { ca: cert ?? "", cert: cert ?? "", key: key ?? "" },
    ]);
  });

  test("refuses files that are missing, broken or do not match, all at once", async () => {
    const broken = join(folder, "broken.pem");
    const block = await readFile(certFile, "utf8");
    await writeFile(broken, `${block}${block.replace(/MII/, "AAA")}`);
    const mixed = provider(`ca_file: ${broken}`, certFile, otherKeyFile);
    expect(await problems({ text: mixed })).toEqual([
      `providers[1].ca_file: ${broken} holds no PEM certificate`,
      `providers[1].client_key_file: ${otherKeyFile} is not the key of the certificate in ` +
        certFile,
    ]);
    const wrong = provider(`ca_file: ${keyFile}`, "/no.pem", certFile);
    expect(await problems({ text: wrong })).toEqual([
      `providers[1].ca_file: ${keyFile} holds no PEM certificate`,
      "providers[1].client_cert_file: /no.pem cannot be read: no such file",
      `providers[1].client_key_file: ${certFile} holds no PEM private key without a passphrase`,
    ]);
  });

  test("refuses a file that is missing, a folder, too large or no text", async () => {
    const large = join(folder, "large.yml");
    await writeFile(large, "a: b\n".repeat(300_000));
    const binary = join(folder, "binary.yml");
    await writeFile(binary, Uint8Array.of(0x61, 0xff, 0xfe));
    expect(await problems({ file: join(folder, "none.yml") })).toEqual([
      expect.stringMatching(/^: \S+ cannot be read: no such file$/),
    ]);
    expect(await problems({ file: folder })).toEqual([
      `: ${folder} cannot be read: it is a folder`,
    ]);
    expect(await problems({ file: large })).toEqual([`: ${large} is larger than 1MiB`]);
    expect(await problems({ file: binary })).toEqual([`: ${binary} is not UTF-8 text`]);
  });

  test("reads no more of an endless file than it may keep", async () => {
    expect(await problems({ file: "/dev/zero" })).toEqual([": /dev/zero is larger than 1MiB"]);
  });
});
