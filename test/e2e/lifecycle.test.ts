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
      "http_prot: 1\ntimeouts: { dial: fast }\nauth_keys: [sk-planted-secret]\n" +
        "providers:\n  - type: openai\n    endpont: x\n",
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

/** Starts `serve` on the environment alone, and waits until it has said what to do next. */
async function serveWithoutFile(cwd: string, more: Record<string, string>) {
  const child = Bun.spawn([EXECUTABLE, "serve"], {
    cwd,
    env: {
      OPENAI_API_KEY: "sk-upstream-secret-0002",
      OPENAI_BASE_URL: `${provider.url}/v1`,
      SLUICE_HTTP_PORT: "0",
      SLUICE_HTTP_BIND_ADDRESS: "127.0.0.1",
      SLUICE_ADMIN_PORT: "0",
      ...more,
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
  return { child, text, url: /sluice is ready on (\S+)/.exec(text)?.[1] ?? "" };
}

describe("a node without a configuration file", () => {
  test("takes its provider from the environment, and keeps its secrets to itself", async () => {
    const cwd = join(folder, "zero");
    await mkdir(cwd);
    const { child, text, url } = await serveWithoutFile(cwd, {});
    expect(text).toContain("sluice token mint");
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

describe("a second node", () => {
  const config = (dataDir: string, port: string, key = "sk-1") => `http_port: ${port}
http_bind_address: 127.0.0.1
admin_port: 0
data_dir: ${dataDir}
providers: [{ name: openai, type: openai, api_key: ${key} }]
`;

  test("on the same port does not start and says why", async () => {
    const node = await startNode({ config: openaiConfig(provider.url) });
    const port = new URL(node.url).port;
    const file = join(folder, "second.yml");
    await writeFile(file, config(join(folder, "second"), port));
    const samePort = await runCommand(["serve", "-c", file]);
    expect(samePort.code).toBe(1);
    expect(samePort.stderr).toContain(`127.0.0.1:${port} (http_port`);
    await node.stop();
  });

  test("starts neither with another encryption key nor with a token as its key", async () => {
    const node = await startNode({ config: openaiConfig(provider.url) });
    node.kill("SIGTERM");
    await node.exited;
    const file = join(folder, "third.yml");
    const made = await runCommand(["keys", "generate"]);
    await writeFile(
      file,
      `${config(node.dataDir, "0")}encryption_keys: ["${made.stdout.trim()}"]\n`,
    );
    const otherKey = await runCommand(["serve", "-c", file]);
    expect(otherKey.code).toBe(1);
    expect(otherKey.stderr).toContain("encryption_keys");
    await writeFile(file, config(node.dataDir, "0", "sk-sluice-abc.def.ghi"));
    const loop = await runCommand(["serve", "-c", file]);
    expect([loop.code, loop.stderr.includes("is a token of sluice")]).toEqual([1, true]);
    await cleanUp(node.dataDir);
  });
});

describe("draining", () => {
  test.each([
    ["in one piece", {}],
    ["as a stream", { stream: true }],
  ])("gives a request that runs its answer %s", async (_title, more) => {
    const node = await startNode({ config: openaiConfig(provider.url) });
    const headers = { authorization: `Bearer ${await node.mint()}`, "x-mock": "delay=400ms" };
    const body = JSON.stringify({ model: "gpt-5.5", input: "Go", ...more });
    const answer = fetch(`${node.url}/v1/responses`, { method: "POST", headers, body });
    await node.logged(({ event }) => event === "ready");
    await Bun.sleep(150);
    node.kill("SIGTERM");
    const { status, text } = await answer.then(async (one) => ({
      status: one.status,
      text: await one.text(),
    }));
    expect([status, text.includes('"completed"')]).toEqual([200, true]);
    expect(await node.exited).toBe(0);
    await cleanUp(node.dataDir);
  });

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
      expect(await node.logged(({ event }) => event === "stopped")).toMatchObject({ signal });
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

test("a key whose function is not there yet is a configuration_warning at start", async () => {
  const node = await startNode({
    config: openaiConfig(provider.url, "http_cache: { enabled: true }"),
  });
  const warnings = node.log.filter(({ event }) => event === "configuration_warning");
  expect(warnings).toMatchObject([{ level: "warn", path: "http_cache" }]);
  await node.stop();
});

test("a log that nobody reads stops nothing; log_lines_dropped says what is missing", async () => {
  const dataDir = await temporaryFolder();
  const pipe = join(dataDir, "log.pipe");
  expect(Bun.spawnSync(["mkfifo", pipe]).exitCode).toBe(0);
  // Kept open for reading and not read, which fills the pipe; the rest waits in the node.
  const reader = Bun.spawn(["sh", "-c", `exec 3<>"$0"; read go; exec cat <&3`, pipe], {
    stdin: "pipe",
    stdout: "pipe",
  });
  const { child, url } = await serveWithoutFile(dataDir, { SLUICE_LOG_FILE: pipe });
  const path = `${url}/v1/${"x".repeat(500)}`;
  for (let round = 0; round < 100; round += 1) {
    await Promise.all(
      Array.from({ length: 100 }, () => fetch(path).then((answer) => answer.text())),
    );
  }
  reader.stdin.write("go\n");
  await reader.stdin.end();
  let log = "";
  const decoder = new TextDecoder();
  for await (const chunk of reader.stdout) {
    log += decoder.decode(chunk, { stream: true });
    if (/log_lines_dropped.*\n/.test(log)) break;
    await (await fetch(path)).text();
  }
  const line = /^.*log_lines_dropped.*$/m.exec(log)?.[0] ?? "";
  expect(JSON.parse(line)).toMatchObject({ event: "log_lines_dropped", level: "warn" });
  expect(JSON.parse(line).count).toBeGreaterThan(0);
  child.kill("SIGKILL");
  reader.kill();
  await child.exited;
  await cleanUp(dataDir);
}, 30_000);

test("an admin token that can be guessed is a configuration_warning at start", async () => {
  const tokens = "admin_tokens: [{ name: alice, token: short-token-123, role: viewer }]";
  const node = await startNode({ config: openaiConfig(provider.url, tokens) });
  const warning = node.log.find(({ event }) => event === "configuration_warning");
  expect(warning?.["reason"]).toContain("alice is shorter than 16 characters");
  expect(node.log.some((line) => JSON.stringify(line).includes("short-token"))).toBe(false);
  await node.stop();
});

test("a wrong admin token is refused, logged and counted", async () => {
  const node = await startNode({ config: openaiConfig(provider.url) });
  const answer = await fetch(`${node.adminUrl}/manage/tokens`, {
    headers: { authorization: "Bearer guess" },
  });
  expect(answer.status).toBe(401);
  expect(await node.logged((line) => line.event === "admin_refused")).toMatchObject({
    path: "/manage/tokens",
  });
  const metrics = await (await fetch(`${node.adminUrl}/metrics`)).text();
  expect(metrics).toContain('sluice_admin_refusals_total{code="unauthorized"} 1');
  await node.stop();
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
