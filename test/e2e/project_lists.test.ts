/**
 * What a project may be used for, on the executable: held to by every request and every turn of
 * sessions that are open already, beside what the token says. Other nodes: `nodes.test.ts`.
 */

import { afterEach, describe, expect, test } from "bun:test";

import type { Mock } from "../../src/mock/mock.ts";
import { type Node, nodeForFile, openaiConfig } from "./harness.ts";
import { type Client, connect } from "./ws_client.ts";

let provider: Mock;
let node: Node;

const config = (url: string) => openaiConfig(url, "auth_keys: [static-key-0001]");

nodeForFile(config, async (started) => {
  ({ provider, node } = started);
  await node.setRules();
});

afterEach(async () => {
  await restrict("default", "--any-model", "--any-endpoint", "--any-tier");
  provider.clear();
});

function restrict(project: string, ...options: string[]): Promise<string> {
  return node.sluice(["project", "update", project, ...options]);
}

/** A project of its own, made with these options. */
async function newProject(name: string, ...options: string[]): Promise<string> {
  return JSON.parse(await node.sluice(["project", "create", name, "--json", ...options])).id;
}

function mint(project: string, ...options: string[]): Promise<string> {
  return node.sluice(["token", "mint", "--project", project, ...options]);
}

/** What became of a request: `200`, or status, code and message of its refusal. */
async function post(token: string, body: object = {}, path = "/v1/responses"): Promise<string> {
  const answer = await fetch(`${node.url}${path}`, {
    method: "POST",
    body: JSON.stringify({ model: "gpt-5.5", input: "Go", ...body }),
    headers: { authorization: `Bearer ${token}` },
  });
  const { error } = await answer.json();
  return answer.ok ? "200" : `${answer.status} ${error.code} ${error.message}`;
}

function open(token: string, path = "/v1/responses"): Promise<Client> {
  return connect(node.url, path, { authorization: `Bearer ${token}` });
}

/** What became of a turn: `passed`, or status, code and message of its refusal. */
async function turn(client: Client, body: object = {}): Promise<string> {
  const create = { type: "response.create", model: "gpt-5.5", input: "Go", ...body };
  client.send(JSON.stringify(create));
  return answerTo(client, "response.completed");
}

/** `passed` with an event of this type, or what the error event says. */
async function answerTo(client: Client, done: string): Promise<string> {
  const types = [`"type":"${done}"`, '"type":"error"'];
  const text = await client.until((one) => types.some((type) => one.includes(type)));
  const { type, status, error } = JSON.parse(text);
  return type === "error" ? `${status} ${error.code} ${error.message}` : "passed";
}

const MODEL_REFUSED =
  '403 model_not_allowed This project may not be used for the model "gpt-5.5", only for: o3*';

describe("a project's lists", () => {
  test("that change reach the next turn of an open session, which goes on", async () => {
    const project = await newProject("live");
    const token = await mint(project);
    const client = await open(token);
    expect(await turn(client)).toBe("passed");
    await restrict(project, "--model", "o3*");
    expect(await turn(client)).toBe(MODEL_REFUSED);
    expect(await post(token)).toBe(MODEL_REFUSED);
    expect(await turn(client, { model: "o3-mini" })).toBe("passed");
    await restrict(project, "--any-model", "--endpoint", "/v1/chat/completions");
    const endpoint =
      '403 endpoint_not_allowed This project may not be used for "/v1/responses", ' +
      "only for: /v1/chat/completions";
    expect(await turn(client)).toBe(endpoint);
    expect(await post(token)).toBe(endpoint);
    await restrict(project, "--any-endpoint");
    expect(await turn(client)).toBe("passed");
    expect(provider.requests.flatMap(({ frames }) => frames)).toHaveLength(3);
    client.close();
  });

  test("refuse a tier, and close the session, whoever asks for it", async () => {
    const project = await newProject("tiers");
    const token = await mint(project, "--tier", "flex", "--tier", "fast");
    const client = await open(token);
    expect(await turn(client, { service_tier: "fast" })).toBe("passed");
    await restrict(project, "--tier", "flex");
    expect(await turn(client, { service_tier: "flex" })).toBe("passed");
    const words =
      'policy_violation This project may not be used for the service tier "priority", ' +
      "only for: flex";
    expect(await turn(client, { service_tier: "fast" })).toBe(`400 ${words}`);
    expect((await client.closed).code).toBe(1008);
    expect(await post(token, { service_tier: "fast" })).toBe(`403 ${words}`);
    expect(await post(token, { service_tier: "flex" })).toBe("200");
  });

  test("refuse a tier that a policy forces", async () => {
    const project = await newProject("forced", "--tier", "default");
    const token = await mint(project);
    const force = { service_tier: "priority", action: "force", force_tier: "flex" };
    await node.setRules(force);
    try {
      expect(await post(token, { service_tier: "priority" })).toContain('the service tier "flex"');
      expect(await post(token)).toBe("200");
    } finally {
      await node.setRules();
    }
    expect(provider.requests).toHaveLength(1);
  });

  test("hold beside the token's, and neither widens the other", async () => {
    const project = await newProject("both", "--model", "gpt-5*", "--model", "o3");
    const token = await mint(project, "--model", "gpt-5.5", "--model", "gpt-4.1");
    expect(await post(token)).toBe("200");
    expect(await post(token, { model: "o3" })).toStartWith("403 model_not_allowed This token");
    expect(await post(token, { model: "gpt-4.1" })).toStartWith(
      "403 model_not_allowed This project",
    );
  });

  test("of project default hold for static keys", async () => {
    await restrict("default", "--model", "o3*");
    expect(await post("static-key-0001")).toBe(MODEL_REFUSED);
    const client = await open("static-key-0001");
    expect(await turn(client)).toBe(MODEL_REFUSED);
    expect((await client.closed).code).toBe(1008);
    expect(await post("static-key-0001", { model: "o3" })).toBe("200");
  });

  test("keep a call, whose media go where no list would hold, from being made", async () => {
    const project = await newProject("calls");
    const token = await mint(project);
    const path = "/v1/realtime/calls";
    // The simulated provider has none.
    expect(await post(token, {}, path)).toStartWith("404");
    await restrict(project, "--tier", "flex");
    expect(await post(token, {}, path)).toStartWith("403 endpoint_not_allowed");
  });

  test("refuse what a Realtime session is set to use, and what it uses", async () => {
    const project = await newProject("realtime");
    const token = await mint(project);
    const client = await open(token, "/v1/realtime?model=gpt-realtime-2");
    const send = (event: object) => client.send(JSON.stringify(event));
    const transcribe = (model: string) => {
      const session = { audio: { input: { transcription: { model } } } };
      send({ type: "session.update", session });
      return answerTo(client, "session.updated");
    };
    send({ type: "response.create" });
    expect(await answerTo(client, "response.done")).toBe("passed");
    await restrict(project, "--model", "gpt-realtime*");
    expect(await transcribe("whisper-1")).toStartWith("403 model_not_allowed This project");
    send({ type: "response.create" });
    expect(await answerTo(client, "response.done")).toBe("passed");
    await restrict(project, "--model", "gpt-realtime*", "--model", "whisper-1");
    expect(await transcribe("whisper-1")).toBe("passed");
    await restrict(project, "--model", "whisper-1");
    send({ type: "response.create" });
    expect(await answerTo(client, "response.done")).toStartWith("403 model_not_allowed");
    // Nobody asks for a transcription, and nobody can refuse it: the session ends.
    await restrict(project, "--model", "gpt-realtime*");
    send({ type: "input_audio_buffer.append", audio: "AAAA".repeat(4800) });
    send({ type: "input_audio_buffer.commit" });
    expect(await answerTo(client, "none")).toContain('for the model "whisper-1"');
    expect((await client.closed).code).toBe(1008);
  });

  test("are part of what is explained of a tier", async () => {
    const project = await newProject("explained", "--tier", "flex");
    const args = ["policy", "explain", "--tier", "fast", "--project", project, "--json"];
    const { decision, refusal } = JSON.parse(await node.sluice(args));
    expect(decision).toMatchObject({ action: "pass", tier: "priority" });
    expect(refusal).toStartWith('This project may not be used for the service tier "priority"');
  });

  test("are shown, and audited", async () => {
    const id = await newProject("shown", "--model", "gpt-5*", "--tier", "flex");
    await restrict(id, "--any-tier", "--endpoint", "/v1/*");
    const shown = JSON.parse(await node.sluice(["project", "show", id, "--json"]));
    expect(shown).toMatchObject({ models: ["gpt-5*"], endpoints: ["/v1/*"], tiers: null });
    const { entries } = JSON.parse(
      await node.sluice(["audit", "list", "--json", "--subject", `project:${id}`]),
    );
    expect(entries.map(({ details }: { details: object }) => details)).toEqual([
      { endpoints: "/v1/*", tiers: null },
      { name: "shown", models: "gpt-5*", tiers: "flex" },
    ]);
  });
});
