/**
 * The executable on a provider file of llm-proxy (`apis:`): what it lets through, and whose it is.
 * The addresses are those of a simulated provider; all else is as its documentation has it.
 */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { Mock } from "../../src/mock/mock.ts";
import { type Node, runCommand, startNodeOn, startProvider, temporaryFolder } from "./harness.ts";

const APP = "https://www.example.com";

function llmProxyFile(url: string): string {
  return `default_api: openai

apis:
  openai:
    base_url: ${url}
    allowed_endpoints:
      - /v1/chat/completions
      - /v1/responses
      - /v1/embeddings
      - /v1/models
      - /v1/threads/*/runs
    allowed_methods:
      - GET
      - POST
      - OPTIONS
    timeouts:
      request: 120s
      response_header: 500ms
      idle_connection: 90s
      flush_interval: 10ms
    connection:
      max_idle_conns: 100
      max_idle_conns_per_host: 20
    param_whitelist:
      model:
        - gpt-4o
        - gpt-4o-*
        - text-embedding-3-small
    allowed_origins:
      - ${APP}
      - http://localhost:4000

  mistral:
    base_url: ${url}
    allowed_endpoints:
      - /v1/chat/completions
      - /v1/audio
    allowed_methods:
      - POST
    timeouts:
      request: 500ms

  anthropic:
    base_url: ${url}
    allowed_endpoints:
      - /v1/messages
    allowed_methods:
      - POST
    required_headers:
      - origin

  google:
    base_url: ${url}
    type: gemini
    allowed_endpoints:
      - /v1/models
      - /v1/models/gemini-pro:generateContent
    allowed_methods:
      - GET
      - POST
`;
}

let folder: string;
let file: string;
let upstream: Mock;
let node: Node;
let token: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  file = join(folder, "api_providers.yaml");
  upstream = await startProvider();
  await writeFile(file, llmProxyFile(upstream.url));
  const env = { SLUICE_HTTP_PORT: "0", SLUICE_HTTP_BIND_ADDRESS: "127.0.0.1" };
  node = await startNodeOn(file, { dataDir: folder, env });
  token = await node.mint();
  for (const provider of ["openai", "mistral", "anthropic", "google"]) {
    const args = ["credential", "create", "--project", "default", "--provider", provider];
    const { code, stderr } = await node.run([...args, "--api-key-stdin"], `key-of-${provider}`);
    expect({ code, stderr }).toMatchObject({ code: 0 });
  }
});

afterAll(async () => {
  await node.stop();
  await upstream.stop();
});

beforeEach(() => upstream.clear());

interface Sent {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly model?: string;
  readonly body?: string;
}

function send(path: string, { method = "POST", headers, model = "gpt-4o", body }: Sent = {}) {
  const messages = [{ role: "user", content: "Hello" }];
  return fetch(`${node.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      ...headers,
    },
    ...(method === "POST"
      ? { body: body ?? JSON.stringify({ model, messages, input: "Hello", max_tokens: 5 }) }
      : {}),
  });
}

async function told(answer: Promise<Response>): Promise<[number, string | null]> {
  const response = await answer;
  const { error } = await response.json();
  return [response.status, error?.code ?? null];
}

const lastSent = () => upstream.requests.at(-1);

describe("a provider file of llm-proxy", () => {
  test("gives the default API all of its own, and never shares it out", async () => {
    const taken = new Set<string | null>();
    for (let count = 0; count < 20; count += 1) {
      const answer = await send("/v1/chat/completions");
      expect(answer.status).toBe(200);
      taken.add(answer.headers.get("x-sluice-provider"));
    }
    expect([...taken]).toEqual(["openai"]);
    expect(lastSent()?.headers["authorization"]).toBe("Bearer key-of-openai");
  });

  test("serves the other one under its name", async () => {
    const answer = await send("/mistral/v1/chat/completions", { model: "mistral-large" });
    expect([answer.status, answer.headers.get("x-sluice-provider")]).toEqual([200, "mistral"]);
    expect(lastSent()?.path).toBe("/v1/chat/completions");
    expect(lastSent()?.headers["authorization"]).toBe("Bearer key-of-mistral");
  });

  test("serves the other protocols on their own paths", async () => {
    const origin = { origin: APP, "anthropic-version": "2023-06-01" };
    const messages = await send("/v1/messages", { headers: origin, model: "claude-sonnet-4-5" });
    expect([messages.status, messages.headers.get("x-sluice-provider")]).toEqual([
      200,
      "anthropic",
    ]);
    const body = '{"contents":[{"parts":[{"text":"Hello"}]}]}';
    const generated = await send("/v1/models/gemini-pro:generateContent", { body });
    expect([generated.status, generated.headers.get("x-sluice-provider")]).toEqual([200, "google"]);
    expect(lastSent()?.headers["x-goog-api-key"]).toBe("key-of-google");
  });

  test("allowed_endpoints holds for whole segments, with * for one", async () => {
    expect((await send("/v1/models", { method: "GET" })).status).toBe(200);
    expect((await send("/v1/models/gpt-4o", { method: "GET" })).status).toBe(200);
    for (const path of [
      "/v1/modelsX",
      "/v1/moderations",
      "/v1beta/models/gemini-pro:generateContent",
    ]) {
      expect((await send(path)).status).toBe(404);
    }
    expect(upstream.requests.every(({ path }) => path.startsWith("/v1/models"))).toBe(true);
  });

  test("an allowed endpoint that is not relayed is named at start", async () => {
    const line = await node.logged(
      ({ event, reason }) => event === "configuration_warning" && /threads/.test(String(reason)),
    );
    expect(line["reason"]).toContain("openai has not here: /v1/threads/*/runs");
    expect((await send("/v1/threads/t1/runs")).status).toBe(404);
  });

  test("allowed_methods is 405 with those that are allowed", async () => {
    const answer = await send("/v1/models/gpt-4o", { method: "DELETE" });
    expect([answer.status, answer.headers.get("allow")]).toEqual([405, "GET"]);
    expect(upstream.requests).toEqual([]);
  });

  test.each([
    ["gpt-4o", 200],
    ["gpt-4o-mini", 200],
    ["gpt-4.1", 400],
    ["o3", 400],
  ])("param_whitelist answers model %s with %d", async (model, status) => {
    const answer = await send("/v1/chat/completions", { model });
    expect(answer.status).toBe(status);
    expect(upstream.requests).toHaveLength(status === 200 ? 1 : 0);
    if (status !== 200) expect((await answer.json()).error.code).toBe("param_not_allowed");
  });

  test.each(["application/json; charset=utf-8", "Application/JSON", "text/plain"])(
    "(trap 20) param_whitelist holds for a body of %s",
    async (type) => {
      const sent = { model: "o3", headers: { "content-type": type } };
      expect(await told(send("/v1/chat/completions", sent))).toEqual([400, "param_not_allowed"]);
      expect(upstream.requests).toEqual([]);
    },
  );

  test("allowed_origins lets its pages in, and refuses others without reflection", async () => {
    const allowed = await send("/v1/chat/completions", { headers: { origin: APP } });
    expect(allowed.headers.get("access-control-allow-origin")).toBe(APP);
    const refused = await send("/v1/chat/completions", {
      headers: { origin: "https://x.example" },
    });
    expect([refused.status, (await refused.json()).error.code]).toEqual([
      403,
      "origin_not_allowed",
    ]);
    expect(refused.headers.has("access-control-allow-origin")).toBe(false);
    expect(upstream.requests).toHaveLength(1);
  });

  test("required_headers: origin asks every caller for one", async () => {
    const headers = { "anthropic-version": "2023-06-01" };
    const answer = await send("/v1/messages", { headers, model: "claude-sonnet-4-5" });
    expect(answer.status).toBe(400);
    expect((await answer.json()).error.message).toContain("The header origin is missing");
    expect(upstream.requests).toEqual([]);
  });

  test("timeouts.response_header and timeouts.request end what is not answered", async () => {
    const hang = { "x-mock": "hang" };
    for (const path of ["/v1/chat/completions", "/mistral/v1/chat/completions"]) {
      expect(await told(send(path, { headers: hang }))).toEqual([504, "upstream_timeout"]);
    }
  });

  test("check --explain says what a request meets there", async () => {
    const ask = async (asked: string, ...more: string[]) => {
      const { code, stdout } = await runCommand(["check", "-c", file, "--explain", asked, ...more]);
      return [code, stdout] as const;
    };
    const chat = await ask("POST /v1/chat/completions", "--model", "gpt-4o-mini");
    expect(chat).toEqual([0, expect.stringContaining("openai: takes 100 %")]);
    expect(chat[1]).toContain("mistral: no, it serves paths under /mistral");
    const barred = await ask("POST /v1/chat/completions", "--model", "o3");
    expect(barred).toEqual([1, expect.stringContaining("400 param_not_allowed")]);
    const headed = await ask("POST https://any.example/v1/messages");
    expect(headed[1]).toContain("anthropic: takes 100 % of requests with the headers origin");
    const unlisted = await ask("POST /v1/moderations");
    expect(unlisted).toEqual([1, expect.stringContaining("404 endpoint_not_found")]);
  });
});

describe("a keyless upstream", () => {
  test.each(['auth_value: ""', 'api_key: ""'])("with %s is sent no credential", async (key) => {
    const dataDir = await temporaryFolder();
    const path = join(dataDir, "config.yml");
    const provider = `{type: openai, name: local, endpoint: "${upstream.url}", ${key}}`;
    await writeFile(path, `http_port: 0\nauth: open\nproviders: [${provider}]\n`);
    const env = { SLUICE_HTTP_BIND_ADDRESS: "127.0.0.1" };
    const keyless = await startNodeOn(path, { dataDir, env });
    const headers = { authorization: "Bearer sk-whatever", "content-type": "application/json" };
    await fetch(`${keyless.url}/v1/embeddings`, { method: "POST", headers, body: "{}" });
    const seen = lastSent();
    expect(seen?.path).toBe("/v1/embeddings");
    expect(Object.keys(seen?.headers ?? {})).not.toContain("authorization");
    expect(JSON.stringify(seen?.headers)).not.toContain("sk-whatever");
    await keyless.stop();
  });
});
