/** What becomes of the answer that gives a key for a browser, over the real parts of auth/. */

import { describe, expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import { keepProvidersKey } from "../../src/gateway/client_secret.ts";
import { openai } from "../../src/provider/openai.ts";
import type { UpstreamAnswer } from "../../src/relay/forward.ts";
import { ModelNames } from "../../src/route/model_map.ts";
import { openIdentity } from "../support/identity.ts";
import { providerConfig } from "../support/provider_config.ts";

const KEY = "ek_68af296e8e408191a1120ab6383263c2";
const GIVING = "/v1/realtime/client_secrets";
const node = await openIdentity();
const { token } = await node.tokens.mint("default", 86_400_000, null);
const principal = await node.tokens.verify(token);
const models = Array.from({ length: 30 }, (_, n) => `${n}`.padEnd(188, "m"));
const LISTS = { models, endpoints: null, tiers: null, limits: {} };
const expiresAtS = Math.floor(node.clock.nowMs() / 1000) + 600;
const BODY = `{ "value": "${KEY}", "expires_at": ${expiresAtS}, "session": {"é": 1} }`;

type Body = string | ReadableStream<Uint8Array<ArrayBuffer>> | null;

class Answer implements UpstreamAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: UpstreamAnswer["body"];
  readonly bytes = null;
  readonly sentAtMs = 1;
  readonly answeredAtMs = 2;
  readonly calls: string[] = [];

  constructor(body: Body, status = 200, headers: Record<string, string> = {}) {
    this.status = status;
    this.headers = new Headers({ "content-type": "application/json", ...headers });
    this.body = typeof body === "string" ? new Response(body).body : body;
  }

  abort(): void {
    this.calls.push("abort");
  }

  failure(): GatewayError {
    return new GatewayError("upstream_closed");
  }

  done(): void {
    this.calls.push("done");
  }
}

async function keep(
  answer: UpstreamAnswer,
  path = GIVING,
  caller = principal,
  asked: readonly string[] = [],
): Promise<UpstreamAnswer> {
  const endpoint = openai.endpoint("POST", path);
  if (endpoint === null) throw new Error(`There is no ${path}`);
  const provider = providerConfig({ name: "first", models: new Map([["voice", "gpt-realtime"]]) });
  const names = new ModelNames(provider);
  for (const model of asked) names.toUpstream(model);
  return await keepProvidersKey(node, { principal: caller }, { endpoint, provider }, names, answer);
}

async function refusal(answer: Answer, caller = principal): Promise<unknown> {
  const thrown: unknown = await keep(answer, GIVING, caller).then(
    () => null,
    (error) => error,
  );
  if (!(thrown instanceof GatewayError)) throw new Error("Nothing was refused", { cause: thrown });
  return [thrown.code, thrown.status, answer.calls];
}

describe("keepProvidersKey()", () => {
  test.each([GIVING, "/v1/realtime/sessions"])(
    "puts a secret of the caller's in the key's place, on %s",
    async (path) => {
      const answer = new Answer(BODY, 201, { "x-request-id": "req_1", "content-length": "7" });
      const own = await keep(answer, path);
      const text = await new Response(own.body).text();
      const { value } = JSON.parse(text);
      expect(text).toBe(BODY.replace(KEY, value));
      expect(new TextDecoder().decode(await own.bytes?.())).toBe(text);
      expect(own).toMatchObject({ status: 201, sentAtMs: 1, answeredAtMs: 2 });
      expect(own.headers.get("x-request-id")).toBe("req_1");
      expect(own.headers.get("content-length")).toBe(String(new TextEncoder().encode(text).length));
      expect(await node.clientSecrets.open(value)).toEqual({
        ...principal,
        expiresAtMs: expiresAtS * 1000,
        clientSecret: { provider: "first", key: KEY },
      });
      expect(answer.calls).toEqual([]);
      own.abort();
      own.done();
      expect(answer.calls).toEqual(["abort", "done"]);
      expect(own.failure(null)).toBeInstanceOf(GatewayError);
    },
  );

  test.each([
    ["a refusal of the upstream", GIVING, 429],
    ["an answer of any other endpoint", "/v1/files", 200],
  ])("leaves %s as it came", async (_what, path, status) => {
    const answer = new Answer(BODY, status);
    expect(await keep(answer, path)).toBe(answer);
  });

  test.each<[string, Body, Record<string, string>]>([
    ["holds no key", "{}", {}],
    ["is no JSON", `value=${KEY}`, {}],
    ["is empty", null, {}],
    ["is compressed", BODY, { "content-encoding": "gzip" }],
    ["is too large", `${" ".repeat(4 * 1024 * 1024)}${BODY}`, {}],
    ["has the key elsewhere too", BODY.replace("é", KEY), {}],
    ["has a key that is too long", BODY.replace(KEY, "k".repeat(4097)), {}],
  ])("passes nothing on where the answer %s", async (_what, body, headers) => {
    const refused = ["upstream_unreadable", 502, ["abort", "done"]];
    expect(await refusal(new Answer(body, 200, headers))).toEqual(refused);
  });

  test("passes nothing on where ours would be too long for a header", async () => {
    const answer = new Answer(BODY.replace(KEY, "k".repeat(4096)));
    const refused = ["upstream_unreadable", 502, ["abort", "done"]];
    expect(await refusal(answer, { ...principal, restrictions: LISTS })).toEqual(refused);
  });

  test("takes the key of another sluice for any other", async () => {
    const inner = await node.clientSecrets.make(principal, { provider: "p", key: KEY }, Date.now());
    const own = await keep(new Answer(BODY.replace(KEY, inner)));
    const { value } = await new Response(own.body).json();
    const { clientSecret } = await node.clientSecrets.open(value);
    expect(clientSecret).toEqual({ provider: "first", key: inner });
  });

  test("gives models the names that the caller used, and none other", async () => {
    const body = BODY.replace('"é": 1', '"é": 1, "model" : "gpt-realtime"');
    const read = async (asked: string[]) => {
      const own = await keep(new Answer(body), GIVING, principal, asked);
      const text = await new Response(own.body).text();
      return text.replace(JSON.parse(text).value, KEY);
    };
    expect(await read(["voice"])).toBe(body.replace("gpt-realtime", "voice"));
    expect(await read(["gpt-realtime"])).toBe(body);
  });

  test("says what broke off", async () => {
    const body = new ReadableStream({ pull: (controller) => controller.error(new Error("reset")) });
    expect(await refusal(new Answer(body))).toEqual(["upstream_closed", 502, ["abort", "done"]]);
  });

  test("does not wait for ever", async () => {
    let fail = (_error: Error) => {};
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => void (fail = (error) => controller.error(error)),
    });
    const answer = new Answer(body);
    answer.abort = () => {
      answer.calls.push("abort");
      fail(new Error("aborted"));
    };
    const refused = refusal(answer);
    await node.clock.advance(30_000);
    expect(await refused).toEqual(["upstream_timeout", 504, ["abort", "abort", "done"]]);
  });
});
