/**
 * The executable on a file of OpenProxy, as its documentation has one: the same keys, hosts,
 * certificates and command line. Variables replace only what a test cannot have: port 443, and
 * where the providers are.
 */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { Mock } from "../../src/mock/mock.ts";
import { LOCALHOST_CERTIFICATE } from "../support/certificates.ts";
import {
  cleanUp,
  type Node,
  runCommand,
  startNode,
  startNodeOn,
  startProvider,
  temporaryFolder,
} from "./harness.ts";
import { rawUpstream } from "./raw_upstream.ts";
import { connect } from "./ws_client.ts";

const PING =
  '{"model":"claude-3-haiku-20240307","max_tokens":1,"messages":[{"role":"user","content":"Hi"}]}';

/** @param certificates the folder of both files */
function openproxyFile(certificates: string): string {
  return `# TLS
cert_file: "${certificates}/certificate.pem"
private_key_file: "${certificates}/private-key.pem"
https_port: 443
# http_port: 8080

auth_keys:
  - "client-api-key-1"
  - "client-api-key-2"

# Seconds
health_check_interval: 60

providers:
  - type: "openai"
    host: "openai.example.com"
    endpoint: "api.openai.com"
    port: 443
    tls: true
    weight: 1.0
    api_key: "sk-openai-of-the-file"
    health_check:
      method: "GET"
      path: "/v1/models"
  - type: "gemini"
    host: "gemini.example.com"
    endpoint: "generativelanguage.googleapis.com"
    port: 443
    tls: true
    weight: 1.5
    api_key: "gemini-key-of-the-file"
    health_check:
      method: "GET"
      path: "/v1beta/models"
  - type: "anthropic"
    host: "anthropic.example.com"
    endpoint: "api.anthropic.com"
    port: 443
    tls: true
    weight: 1.2
    api_key: "sk-ant-key-of-the-file"
    health_check:
      method: "POST"
      path: "/v1/messages"
      body: '${PING}'
      headers:
        - "Content-Type: application/json"
        - "anthropic-version: 2023-06-01"
  - type: "anthropic"
    host: "anthropic-oauth.example.com"
    endpoint: "api.anthropic.com"
    api_key: "$(cat ${certificates}/oauth-token.txt)"
  - type: "openai"
    host: "openai-backup.example.com"
    endpoint: "api.openai.com"
    api_keys:
      - key: "sk-key-1"
        weight: 1.0
      - key: "sk-key-2"
        weight: 2.0
    auth_keys:
      - "provider-specific-auth-key"
`;
}

/** What only a test needs: the upstream in the place of the public APIs. */
function towards(upstream: Mock, providers: number): Record<string, string> {
  const places = Array.from({ length: providers }, (_, index) => [
    [`SLUICE_PROVIDERS_${index}_ENDPOINT`, "127.0.0.1"],
    [`SLUICE_PROVIDERS_${index}_PORT`, String(upstream.port)],
    [`SLUICE_PROVIDERS_${index}_TLS`, "false"],
  ]);
  return Object.fromEntries(places.flat());
}

/** The certificate is for localhost, where the test reaches all of the file's hosts. */
const TRUST = { ca: LOCALHOST_CERTIFICATE.cert, checkServerIdentity: () => undefined };

let folder: string;
let file: string;
let upstream: Mock;
let node: Node;
let base: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  file = join(folder, "config.yml");
  await writeFile(file, openproxyFile(folder));
  await writeFile(join(folder, "certificate.pem"), LOCALHOST_CERTIFICATE.cert);
  await writeFile(join(folder, "private-key.pem"), LOCALHOST_CERTIFICATE.key);
  await writeFile(join(folder, "oauth-token.txt"), "oauth-token-of-the-file\n");
  upstream = await startProvider();
  node = await startNodeOn(file, {
    args: ["-p", join(folder, "openproxy.pid")],
    dataDir: folder,
    env: { SLUICE_HTTPS_PORT: "0", ...towards(upstream, 5) },
  });
  base = `https://localhost:${new URL(node.httpsUrl ?? "").port}`;
});

afterAll(async () => {
  await node.stop();
  await upstream.stop();
});

beforeEach(() => upstream.clear());

function post(host: string, path: string, body: unknown, headers: Record<string, string>) {
  return fetch(`${base}${path}`, {
    method: "POST",
    headers: { host, "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
    tls: TRUST,
  });
}

const HELLO = [{ role: "user", content: "Hello!" }];
const CHAT = { model: "gpt-3.5-turbo", messages: HELLO };
const GENERATE = { contents: [{ parts: [{ text: "Hello!" }] }] };
const MESSAGES = { model: "claude-3-haiku-20240307", max_tokens: 100, messages: HELLO };

describe("a file of OpenProxy", () => {
  test("starts with start -c, and its process id is in the file of -p", async () => {
    const pid = await readFile(join(folder, "openproxy.pid"), "utf8");
    expect(pid.trim()).toBe(String(node.pid));
  });

  test.each<[string, string, unknown, Record<string, string>, [string, string]]>([
    [
      "openai.example.com",
      "/v1/chat/completions",
      CHAT,
      { authorization: "Bearer client-api-key-1" },
      ["authorization", "Bearer sk-openai-of-the-file"],
    ],
    [
      "gemini.example.com",
      "/v1/models/gemini-pro:generateContent",
      GENERATE,
      { "x-goog-api-key": "client-api-key-1" },
      ["x-goog-api-key", "gemini-key-of-the-file"],
    ],
    [
      "anthropic.example.com",
      "/v1/messages",
      MESSAGES,
      { "x-api-key": "client-api-key-1", "anthropic-version": "2023-06-01" },
      ["x-api-key", "sk-ant-key-of-the-file"],
    ],
    [
      "anthropic-oauth.example.com",
      "/v1/messages",
      MESSAGES,
      { "x-api-key": "client-api-key-2", "anthropic-version": "2023-06-01" },
      ["authorization", "Bearer oauth-token-of-the-file"],
    ],
    [
      "openai-backup.example.com",
      "/v1/chat/completions",
      CHAT,
      { authorization: "Bearer provider-specific-auth-key" },
      ["authorization", "Bearer sk-key-"],
    ],
  ])("answers its sample request for %s", async (host, path, body, headers, [name, value]) => {
    const answer = await post(host, path, body, headers);
    expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining("{")]);
    const [seen] = upstream.requests.filter((request) => request.method === "POST");
    expect(seen?.path).toBe(path);
    expect(seen?.headers[name]).toStartWith(value);
    expect(JSON.stringify(seen?.headers)).not.toMatch(/client-api-key|provider-specific/);
  });

  test("takes a key from the query on Gemini, and sends its own in the header", async () => {
    const path = "/v1beta/models/gemini-pro:generateContent";
    const answer = await post("gemini.example.com", `${path}?key=client-api-key-2`, GENERATE, {});
    expect(answer.status).toBe(200);
    expect(upstream.requests[0]?.path).toBe(path);
    expect(upstream.requests[0]?.headers["x-goog-api-key"]).toBe("gemini-key-of-the-file");
  });

  test("sends Anthropic's key the way the caller sent its own", async () => {
    const headers = { authorization: "Bearer client-api-key-1", "anthropic-version": "2023-06-01" };
    expect((await post("anthropic.example.com", "/v1/messages", MESSAGES, headers)).status).toBe(
      200,
    );
    const [seen] = upstream.requests;
    expect(seen?.headers["authorization"]).toBe("Bearer sk-ant-key-of-the-file");
    expect(seen?.headers).not.toHaveProperty("x-api-key");
    expect(seen?.headers).not.toHaveProperty("anthropic-beta");
  });

  test("adds the beta that OAuth needs to the caller's own", async () => {
    const headers = {
      "x-api-key": "client-api-key-1",
      "anthropic-version": "2023-06-01",
      "anthropic-beta": "files-api-2025-04-14",
    };
    await post("anthropic-oauth.example.com", "/v1/messages", MESSAGES, headers);
    const beta = upstream.requests[0]?.headers["anthropic-beta"] ?? "";
    expect(beta.split(/\s*,\s*/)).toEqual(["files-api-2025-04-14", "oauth-2025-04-20"]);
  });

  test("answers its sample session over wss", async () => {
    const session = await connect(
      base,
      "/v1/realtime?model=gpt-4o-realtime-preview-2024-10-01",
      {
        host: "openai.example.com",
        authorization: "Bearer client-api-key-1",
        "openai-beta": "realtime=v1",
      },
      [],
      TRUST,
    );
    session.send('{"type":"response.create","response":{"modalities":["text"]}}');
    expect(JSON.parse(await session.next()).type).toBe("session.created");
    await session.until((message) => JSON.parse(message).type === "response.done");
    const seen = upstream.requests.find(({ path }) => path.includes("realtime"));
    expect(seen?.path).toBe("/v1/realtime?model=gpt-4o-realtime-preview-2024-10-01");
    expect(seen?.headers["openai-beta"]).toBe("realtime=v1");
    session.close();
  });

  test("keys of one provider do not open another, and a wrong one is 401", async () => {
    for (const [host, key] of [
      ["openai.example.com", "provider-specific-auth-key"],
      ["openai-backup.example.com", "wrong"],
    ] as const) {
      const headers = { authorization: `Bearer ${key}` };
      const answer = await post(host, "/v1/chat/completions", CHAT, headers);
      expect([answer.status, (await answer.json()).error.code]).toEqual([401, "token_invalid"]);
    }
    expect(upstream.requests).toEqual([]);
  });

  test("check --explain says who takes a sample request, and which key", async () => {
    const ask = (asked: string) => runCommand(["check", "-c", file, "--explain", asked]);
    const backup = await ask("POST https://openai-backup.example.com/v1/chat/completions");
    expect(backup.code).toBe(0);
    expect(backup.stdout).toContain("openai-2, key 1 of 2: takes 33 %");
    expect(backup.stdout).toContain("openai-2, key 2 of 2: takes 67 %");
    expect(backup.stdout).toContain("openai: no, it serves host openai.example.com");
    expect(backup.stdout).not.toContain("sk-key");
    const session = await ask("GET wss://OpenAI.example.com:443/v1/realtime?model=m");
    expect(session.stdout).toContain("would be sent to https://api.openai.com/v1/realtime?model=m");
    const nobody = await ask("GET https://nobody.example.com/v1/models");
    expect([nobody.code, nobody.stdout]).toEqual([1, expect.stringContaining("404 no_provider")]);
  });
});

describe("a file of OpenProxy without keys", () => {
  const text = (auth = "") => `http_port: 0
${auth}providers:
  - type: "openai"
    host: "localhost:8080"
    endpoint: "api.openai.com"
    api_key: "sk-of-the-file"
`;

  async function startOn(config: string, args: string[] = []): Promise<Node> {
    const dataDir = await temporaryFolder();
    const path = join(dataDir, "config.yml");
    await writeFile(path, config);
    const env = { SLUICE_HTTP_BIND_ADDRESS: "127.0.0.1", ...towards(upstream, 1) };
    return await startNodeOn(path, { args, dataDir, env });
  }

  const asked = (url: string, headers: Record<string, string> = {}) =>
    fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { host: "localhost:9999", "content-type": "application/json", ...headers },
      body: JSON.stringify(CHAT),
    });

  test("is closed until auth: open is written out, and the refusal says so", async () => {
    const closed = await startOn(text());
    const answer = await asked(closed.url);
    const { error } = await answer.json();
    expect([answer.status, error.code]).toEqual([401, "token_missing"]);
    expect(error.message).toContain("only auth: open lets anyone in");
    await closed.stop();
    const open = await startOn(text("auth: open\n"));
    expect((await asked(open.url)).status).toBe(200);
    await open.stop();
  });

  test("under auth: open a foreign key goes nowhere", async () => {
    const open = await startOn(text("auth: open\n"));
    expect((await asked(open.url, { authorization: "Bearer sk-someone" })).status).toBe(200);
    expect(upstream.requests.at(-1)?.headers["authorization"]).toBe("Bearer sk-of-the-file");
    await open.stop();
  });
});

test("--enable-health-check switches checks on, and a warning names the key", async () => {
  const dataDir = await temporaryFolder();
  const path = join(dataDir, "config.yml");
  const check = "health_check: {path: /v1/models}";
  await writeFile(path, `http_port: 0\nproviders: [{type: openai, api_key: sk-x, ${check}}]\n`);
  const env = { SLUICE_HTTP_BIND_ADDRESS: "127.0.0.1", ...towards(upstream, 1) };
  const checking = await startNodeOn(path, { args: ["--enable-health-check"], dataDir, env });
  const warning = await checking.logged((line) => /enable-health/.test(String(line["reason"])));
  expect(warning["reason"]).toContain("write health_check: {enabled: true}");
  while (upstream.requests.length === 0) await Bun.sleep(10);
  expect(upstream.requests[0]).toMatchObject({ method: "GET", path: "/v1/models" });
  await checking.stop();
});

describe("a provider of type forward", () => {
  const provider = (auth: string) =>
    `providers: [{type: forward, host: fwd.example.com, endpoint: 127.0.0.1, tls: false${auth}}]`;

  test("says auth: open or nothing starts", async () => {
    const dataDir = await temporaryFolder();
    const path = join(dataDir, "config.yml");
    await writeFile(path, provider(""));
    const { code, stderr } = await runCommand(["start", "-c", path], { cwd: dataDir });
    expect(code).toBe(1);
    expect(stderr).toContain("providers[0].auth: is missing: write auth: open where anyone may");
    await cleanUp(dataDir);
  });

  test("passes everything on as it came, where it says auth: open", async () => {
    const seen = await rawUpstream((socket) =>
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    );
    const port = new URL(seen.url).port;
    const open = await startNode({ config: provider(`, port: ${port}, auth: open`) });
    const headers = { host: "fwd.example.com", authorization: "Basic eDp5", cookie: "a=1" };
    const answer = await fetch(`${open.url}/any/path?q=1`, { headers });
    expect([answer.status, await answer.text()]).toEqual([200, "ok"]);
    expect(seen.received()).toStartWith("GET /any/path?q=1 HTTP/1.1\r\n");
    expect(seen.received().toLowerCase()).toContain("authorization: basic edp5\r\n");
    expect(seen.received().toLowerCase()).toContain("cookie: a=1\r\n");
    await open.stop();
    await seen.stop();
  });
});

test("on one host the key finds its provider, whatever the priorities and fallbacks", async () => {
  const provider = (name: string, more: string) =>
    `  - {type: openai, name: ${name}, host: gw.example.com, endpoint: "${upstream.url}", ` +
    `api_key: sk-x, ${more}}\n`;
  const shared = await startNode({
    config:
      "auth_keys: [key-of-everybody]\nproviders:\n" +
      provider("high", "priority: 100, auth_keys: [key-of-high]") +
      provider("low", "priority: 1, auth_keys: [key-of-low]") +
      provider("fallback", "priority: 1000, is_fallback: true, auth_keys: [key-of-fallback]"),
  });
  const takenBy = async (key: string) => {
    const headers = { host: "gw.example.com", authorization: `Bearer ${key}` };
    const answer = await fetch(`${shared.url}/v1/models`, { headers });
    return answer.headers.get("x-sluice-provider") ?? answer.status;
  };
  const keys = ["key-of-everybody", "key-of-high", "key-of-low", "key-of-fallback", "key-of-none"];
  expect(await Promise.all(keys.map(takenBy))).toEqual(["high", "high", "low", "fallback", 401]);
  await shared.stop();
});

test("anchors, merge keys, prefixes and lists of keys mean what they mean there", async () => {
  const open = await startNode({
    config: `
x-common: &common
  type: openai
  endpoint: "127.0.0.1"
  port: ${upstream.port}
  tls: false
auth_keys: one-key-for-everybody
graceful_shutdown_timeout: 5
health_check: {enabled: true, interval: 60}
providers:
  - <<: *common
    host: gw.example.com/openai/
    api_key: [sk-first, sk-second]
  - <<: *common
    host: gw.example.com
    api_key: sk-root
    auth_keys: [its-own-key]
`,
  });
  const ask = async (path: string, key: string) => {
    const answer = await fetch(`${open.url}${path}`, {
      headers: { host: "GW.example.com:8443", authorization: `Bearer ${key}` },
    });
    await answer.body?.cancel();
    const sent = upstream.requests.at(-1);
    return [answer.status, sent?.path, sent?.headers["authorization"]];
  };
  const root = await ask("/v1/models", "its-own-key");
  expect(root).toEqual([200, "/v1/models", "Bearer sk-root"]);
  const prefixed = await ask("/openai/v1/models?limit=1", "one-key-for-everybody");
  expect(prefixed.slice(0, 2)).toEqual([200, "/v1/models?limit=1"]);
  expect(["Bearer sk-first", "Bearer sk-second"]).toContain(String(prefixed[2]));
  expect((await ask("/openai/v1/models", "its-own-key"))[0]).toBe(401);
  await open.stop();
});
