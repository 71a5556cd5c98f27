/** The executable with credentials that a script prints, which counts how often it runs. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { cleanUp, type Node, startNode, temporaryFolder } from "./harness.ts";
import { connect } from "./ws_client.ts";

const ANSWER = '{"id":"resp_1","object":"response","status":"completed","usage":null}';

interface Upstream {
  readonly url: string;
  /** The headers of every request, oldest first. */
  readonly seen: Headers[];
}

let node: Node | null = null;
let folder: string;
let server: Bun.Server<undefined> | null = null;

beforeEach(async () => {
  folder = await temporaryFolder();
});

afterEach(async () => {
  await node?.stop();
  await server?.stop(true);
  [node, server] = [null, null];
  await cleanUp(folder);
});

/** Takes every credential but `refused`. */
function startUpstream(refused: readonly string[] = []): Upstream {
  const seen: Headers[] = [];
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    websocket: { message() {} },
    fetch(request, itself) {
      seen.push(request.headers);
      const credential = request.headers.get("authorization") ?? "";
      if (refused.includes(credential)) return Response.json({ error: {} }, { status: 401 });
      if (itself.upgrade(request)) return undefined;
      return new Response(ANSWER, { headers: { "content-type": "application/json" } });
    },
  });
  return { url: `http://127.0.0.1:${server.port}`, seen };
}

/** A script that prints what `text` makes of the number of the run, which it counts. */
async function script(text: string): Promise<string> {
  const file = join(folder, "print.sh");
  const counter = join(folder, "runs");
  await writeFile(counter, "");
  await writeFile(file, `echo run >> ${counter}\nrun=$(($(wc -l < ${counter})))\n${text}\n`);
  return `$(sh ${file})`;
}

async function runs(): Promise<number> {
  return (await readFile(join(folder, "runs"), "utf8")).split("\n").length - 1;
}

async function start(upstream: Upstream, keys: string, type = "openai"): Promise<string> {
  node = await startNode({
    config: `providers:\n  - {name: main, type: ${type}, endpoint: "${upstream.url}", ${keys}}`,
  });
  return await node.mint();
}

async function ask(token: string, path = "/v1/responses"): Promise<Response> {
  return await fetch(`${node?.url}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: '{"model":"m","input":"x"}',
  });
}

const credentials = ({ seen }: Upstream) => seen.map((headers) => headers.get("authorization"));

/** Until `command` has run that often. */
async function ran(count: number): Promise<void> {
  while ((await runs()) < count) await Bun.sleep(20);
}

describe("a node with a $(command) credential", () => {
  test("sends what it printed, and runs it once for many requests", async () => {
    const upstream = startUpstream();
    const command = await script('echo " key-of-run-$run "; echo key-of-errors >&2');
    const token = await start(upstream, `api_key: "${command}"`);
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(token)));
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
    expect(new Set(credentials(upstream))).toEqual(new Set(["Bearer key-of-run-1"]));
    expect(await runs()).toBe(1);
  });

  test("goes on with what it printed the next time, without any request", async () => {
    const upstream = startUpstream();
    const command = await script('echo "Token run-$run"');
    const token = await start(upstream, `auth_value: "${command}", credential_ttl: 1s`);
    await ran(3);
    expect((await ask(token)).status).toBe(200);
    expect(credentials(upstream)[0]).toMatch(/^Token run-[2-9]$/);
  });

  test("runs it at once, and once, for all whose credential was refused with 401", async () => {
    const upstream = startUpstream(["Bearer run-1"]);
    const token = await start(upstream, `api_key: "${await script("echo run-$run")}"`);
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(token)));
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
    expect(await runs()).toBe(2);
  });

  test("passes on that a new credential is refused too, and does not run on and on", async () => {
    const upstream = startUpstream(["Bearer run-1", "Bearer run-2"]);
    const token = await start(upstream, `api_key: "${await script("echo run-$run")}"`);
    for (let count = 0; count < 3; count += 1) {
      const answer = await ask(token);
      const { error } = await answer.json();
      expect([answer.status, error.code]).toEqual([502, "upstream_auth_failed"]);
    }
    expect(await runs()).toBe(2);
  });

  test("dials a session again with the one that was printed after a 401", async () => {
    const upstream = startUpstream(["Bearer run-1"]);
    const token = await start(upstream, `api_key: "${await script("echo run-$run")}"`);
    const session = await connect(node?.url ?? "", "/v1/responses", {
      authorization: `Bearer ${token}`,
    });
    session.close();
    expect(credentials(upstream)).toEqual(["Bearer run-1", "Bearer run-2"]);
  });

  test("goes as Bearer with the OAuth beta on anthropic", async () => {
    const upstream = startUpstream();
    const command = await script("echo opaque-token");
    const token = await start(upstream, `api_keys: [{key: "${command}"}]`, "anthropic");
    await ask(token, "/v1/messages");
    const [headers] = upstream.seen;
    expect(headers?.get("authorization")).toBe("Bearer opaque-token");
    expect(headers?.get("anthropic-beta")).toBe("oauth-2025-04-20");
    expect(headers?.has("x-api-key")).toBe(false);
  });

  test("names the provider and the reason when it fails, and nothing that it printed", async () => {
    const upstream = startUpstream();
    const command = await script("echo hunter2; echo hunter3 >&2; exit 3");
    const token = await start(upstream, `api_key: "${command}"`);
    const answer = await ask(token);
    const text = await answer.text();
    expect([answer.status, JSON.parse(text).error.code]).toEqual([502, "upstream_auth_failed"]);
    expect(text).toContain("provider main: its command ended with exit code 3");
    const line = await node?.logged(({ event }) => event === "credential_command_failed");
    expect(line).toMatchObject({ provider: "main", reason: "ended with exit code 3" });
    expect(text + JSON.stringify(node?.log)).not.toMatch(/hunter|print\.sh/);
    expect(upstream.seen).toEqual([]);
    expect(await runs()).toBe(1);
  });

  test("keeps the credential out of the log", async () => {
    const upstream = startUpstream();
    const command = await script("echo planted-credential");
    const token = await start(upstream, `api_key: "${command}"`);
    await ask(token);
    const refused = await ask(token, "/v1/planted-credential");
    expect(refused.status).toBe(404);
    const line = await node?.logged(({ event }) => event === "request_refused");
    expect(line?.["path"]).toBe("/v1/[redacted]");
    expect(JSON.stringify(node?.log)).not.toContain("planted");
  });

  test("ends a command that still runs when it stops", async () => {
    const upstream = startUpstream();
    const pipe = join(folder, "pipe");
    await Bun.$`mkfifo ${pipe}`;
    const command = await script(`exec 3>${pipe}; echo started >&3; sleep 1000; true`);
    const held = Bun.file(pipe).text();
    await start(upstream, `api_key: "${command}"`);
    node?.kill("SIGTERM");
    expect(await node?.exited).toBe(0);
    // Nobody has the pipe open any more.
    expect(await held).toBe("started\n");
  });
});
