/** Starting, stopping and the command line of the executable. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { Mock } from "../../src/mock/mock.ts";
import {
  cleanUp,
  EXECUTABLE,
  openaiConfig,
  runCommand,
  startNode,
  startProvider,
  temporaryFolder,
  usageEvents,
} from "./harness.ts";
import { connect } from "./ws_client.ts";

let provider: Mock;
let folder: string;

beforeAll(async () => {
  provider = await startProvider();
  folder = await temporaryFolder();
});

afterAll(async () => {
  await provider.stop();
  await cleanUp(folder);
});

describe("the command line", () => {
  test("version prints the version, help the commands, and no command is wrong usage", async () => {
    expect((await runCommand(["version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    const help = await runCommand(["help"]);
    for (const command of ["serve", "demo", "mock", "check", "token", "usage", "keys"]) {
      expect(help.stdout).toContain(command);
    }
    expect((await runCommand([])).code).toBe(2);
    const typo = await runCommand(["serv"]);
    expect([typo.code, typo.stderr.includes("serve")]).toEqual([2, true]);
  });

  test("check prints every problem with its path and line, and no secret", async () => {
    const file = join(folder, "bad.yml");
    await writeFile(
      file,
      "http_prot: 1\ntimeouts: { dial: fast }\nauth_keys: [sk-planted-secret]\nproviders:\n  - type: openai\n    endpont: x\n",
    );
    const checked = await runCommand(["check", "-c", file]);
    expect(checked.code).toBe(1);
    const text = checked.stdout + checked.stderr;
    expect(text).toContain("http_port");
    expect(text).toContain("timeouts.dial");
    expect(text).toContain("providers[0]");
    expect(text).not.toContain("sk-planted-secret");
  });

  test("serve refuses a bad configuration with exit code 1", async () => {
    const file = join(folder, "bad2.yml");
    await writeFile(file, "http_port: 99999999\n");
    const served = await runCommand(["serve", "-c", file]);
    expect([served.code, served.stderr.includes("http_port")]).toEqual([1, true]);
  });

  test("keys generate prints a key that the configuration takes", async () => {
    const made = await runCommand(["keys", "generate"]);
    expect(made.stdout.trim()).toMatch(/^[A-Za-z0-9_-]+:[A-Za-z0-9+/=_-]{43,44}$/);
  });

  test("demo --exit runs the tour in an empty folder and ends with 0", async () => {
    const cwd = join(folder, "empty");
    await mkdir(cwd);
    const demo = await runCommand(["demo", "--exit"], { cwd });
    expect({ code: demo.code, stderr: demo.code === 0 ? "" : demo.stderr }).toEqual({
      code: 0,
      stderr: "",
    });
    for (const word of ["HTTP", "SSE", "WebSocket", "input", "output"]) {
      expect(demo.stdout).toContain(word);
    }
    expect(await readdir(cwd)).toEqual([]);
  });
});

describe("a node without a configuration file", () => {
  test("takes its provider from the environment, and keeps its secrets to itself", async () => {
    const cwd = join(folder, "zero");
    await mkdir(cwd);
    const child = Bun.spawn([EXECUTABLE, "serve"], {
      cwd,
      env: {
        OPENAI_API_KEY: "sk-upstream-secret-0002",
        OPENAI_BASE_URL: `${provider.url}/v1`,
        SLUICE_HTTP_PORT: "0",
        SLUICE_HTTP_BIND_ADDRESS: "127.0.0.1",
        SLUICE_ADMIN_PORT: "0",
      },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    let text = "";
    for await (const chunk of child.stderr) {
      text += new TextDecoder().decode(chunk);
      if (text.includes("Stop:")) break;
    }
    expect(text).toContain("sluice token mint");
    const url = /sluice is ready on (\S+)/.exec(text)?.[1] ?? "";
    for (const name of ["admin.json", "admin.token", "encryption.key", "sluice.db"]) {
      expect((await stat(join(cwd, "data", name))).mode & 0o077).toBe(0);
    }
    // The commands find the node by the folder it was started in.
    const minted = await runCommand(["token", "mint"], { cwd });
    const health = await runCommand(["health"], { cwd });
    expect([health.code, health.stdout]).toEqual([0, "ok\n"]);
    const answer = await fetch(`${url}/v1/responses`, {
      method: "POST",
      body: '{"model":"gpt-5.5","input":"Hi"}',
      headers: { authorization: `Bearer ${minted.stdout.trim()}` },
    });
    expect(answer.status).toBe(200);
    expect(provider.requests.at(-1)?.headers["authorization"]).toBe(
      "Bearer sk-upstream-secret-0002",
    );
    const jwks = await (await fetch(`${url}/.well-known/jwks.json`)).json();
    expect(jwks).toMatchObject({ keys: [{ kty: "OKP", crv: "Ed25519" }] });
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  });
});

describe("draining", () => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "%s lets a running turn finish and closes idle sessions with 1012",
    async (signal) => {
      const node = await startNode({ config: openaiConfig(provider.url) });
      const token = await node.mint();
      const headers = { authorization: `Bearer ${token}` };
      const idle = await connect(node.url, "/v1/responses", headers);
      const busy = await connect(node.url, "/v1/responses", {
        ...headers,
        "x-mock": "tokens=5,delay=each:100ms",
      });
      busy.send(JSON.stringify({ type: "response.create", model: "gpt-5.5", input: "Go" }));
      await busy.until((message) => message.includes("response.created"));
      node.kill(signal);
      expect((await idle.closed).code).toBe(1012);
      await busy.until((message) => message.includes("response.completed"));
      expect((await busy.closed).code).toBe(1012);
      expect(await node.exited).toBe(0);
      const again = await startNode({ config: openaiConfig(provider.url), dataDir: node.dataDir });
      expect((await usageEvents(again, 1))[0]).toMatchObject({ status: "completed" });
      await again.stop();
    },
  );

  test("what still runs at the deadline is closed with 1012", async () => {
    const node = await startNode({
      config: openaiConfig(provider.url, "graceful_shutdown_timeout: 500ms"),
    });
    const busy = await connect(node.url, "/v1/responses", {
      authorization: `Bearer ${await node.mint()}`,
      "x-mock": "tokens=500,delay=each:100ms",
    });
    busy.send(JSON.stringify({ type: "response.create", model: "gpt-5.5", input: "Go" }));
    await busy.until((message) => message.includes("response.created"));
    node.kill("SIGTERM");
    expect(await busy.closed).toEqual({ code: 1012, reason: "service restart" });
    expect(await node.exited).toBe(0);
    await cleanUp(node.dataDir);
  });
});

test("no planted secret appears in the log, whatever goes wrong", async () => {
  const canaries = ["sk-canary-provider-key-9431", "static-canary-key-7712", "canary-admin-5519"];
  const node = await startNode({
    config: [
      "providers:",
      "  - name: openai",
      "    type: openai",
      `    endpoint: ${provider.url}`,
      `    api_key: ${canaries[0]}`,
      `auth_keys: [${canaries[1]}]`,
      `admin_token: ${canaries[2]}`,
    ].join("\n"),
    env: { SLUICE_ADMIN_TOKEN: canaries[2] ?? "" },
  });
  const token = await node.mint();
  const post = (
    path: string,
    headers: Record<string, string>,
    body = '{"model":"m","messages":[]}',
  ) =>
    fetch(`${node.url}${path}`, { method: "POST", body, headers }).then((answer) => answer.text());
  await post("/v1/chat/completions", { authorization: `Bearer ${canaries[1]}` });
  await post("/v1/chat/completions", { authorization: `Bearer ${token}`, "x-mock": "status=401" });
  await post("/v1/chat/completions", { authorization: `Bearer ${token}x` });
  await post(`/v1/chat/completions?key=${token}`, { authorization: `Bearer ${canaries[0]}` });
  await post(
    "/v1/chat/completions",
    { authorization: `Bearer ${token}` },
    `{"model":"${canaries[0]}`,
  );
  const session = await connect(node.url, "/v1/realtime?model=m", {}, [
    "realtime",
    `openai-insecure-api-key.${token}`,
  ]);
  session.close(4000, `Bearer ${canaries[1]}`);
  await session.closed;
  await node.logged((line) => line.event === "relay_completed");
  const log = JSON.stringify(node.log);
  for (const canary of [...canaries, token, token.replace("sk-sluice-", "")]) {
    expect(log).not.toContain(canary);
  }
  expect(node.log.length).toBeGreaterThan(5);
  await node.stop();
});
