/**
 * The executable with two providers of which one fails: killed under load, refusing, silent. What
 * a client sees of it, and when the one that failed takes its share again.
 */

import { afterEach, describe, expect, test } from "bun:test";

import type { Mock } from "../../src/mock/mock.ts";
import { type Node, startNode, startProvider, usageEvents } from "./harness.ts";
import { rawUpstream, type RawUpstream } from "./raw_upstream.ts";
import { connect } from "./ws_client.ts";

const ANSWER = '{"id":"resp_1","object":"response","status":"completed","usage":null}';

let node: Node;
const stopped: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const stop of stopped.splice(0)) await stop();
});

async function start(config: string): Promise<string> {
  const started = await startNode({ config });
  node = started;
  stopped.push(() => started.stop());
  return await node.mint();
}

async function simulated(port = 0): Promise<Mock> {
  const upstream = await startProvider(port);
  stopped.push(() => upstream.stop());
  return upstream;
}

/** Answers by what `behave` does; `asked` counts the requests. */
async function behaving(
  behave: (socket: RawUpstream["socket"], text: string) => void,
): Promise<RawUpstream & { asked(): number }> {
  const upstream = await rawUpstream(behave);
  stopped.push(() => upstream.stop());
  const asked = () => upstream.received().split(/^(?:GET|POST) \//m).length - 1;
  return Object.assign(upstream, { asked });
}

function answer(status: string, headers = "", body = "{}"): string {
  const type = "content-type: application/json\r\n";
  return `HTTP/1.1 ${status}\r\n${type}${headers}content-length: ${body.length}\r\n\r\n${body}`;
}

function provider(name: string, url: string, more = ""): string {
  return `  - {name: ${name}, type: openai, endpoint: "${url}", api_key: sk-x${more}}\n`;
}

/** One that is asked first, and one in its stead. */
function bothOf(bad: string, good: string): string {
  return `providers:\n${provider("bad", bad, ", priority: 1")}${provider("good", good)}`;
}

const JSON_BODY = '{"model":"m","input":"x"}';

function ask(token: string, body: BodyInit = JSON_BODY, path = "/v1/responses", script = "") {
  const headers: Record<string, string> = { authorization: `Bearer ${token}` };
  if (typeof body === "string") headers["content-type"] = "application/json";
  if (script !== "") headers["x-mock"] = script;
  return fetch(`${node.url}${path}`, { method: "POST", headers, body });
}

const takenBy = ({ headers }: Response) => headers.get("x-sluice-provider") ?? "nobody";

/** What clients saw while they went on and on. */
class Load {
  readonly failures: string[] = [];
  /** Streams that broke off, by who had begun them. */
  readonly cut: string[] = [];
  taken: string[] = [];
  streams = 0;
  dials = 0;
  readonly #token: string;
  readonly #clients: Promise<void>[];
  #isOver = false;

  constructor(token: string) {
    this.#token = token;
    const clients = [() => this.#json(), () => this.#json(), () => this.#stream()];
    clients.push(
      () => this.#stream(),
      () => this.#dial(),
    );
    this.#clients = clients.map((client) => this.#repeat(client));
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#clients);
  }

  async #repeat(client: () => Promise<void>): Promise<void> {
    while (!this.#isOver) await client().catch((thrown) => void this.failures.push(`${thrown}`));
  }

  async #json(): Promise<void> {
    const response = await ask(this.#token);
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
    this.taken.push(takenBy(response));
    await response.text();
  }

  async #stream(): Promise<void> {
    const body = '{"model":"m","input":"x","stream":true}';
    const response = await ask(this.#token, body, "/v1/responses", "tokens=5,delay=each:5ms");
    if (response.status !== 200) throw new Error(`stream ${response.status}`);
    const text = await response.text().catch(() => "");
    if (text.includes("event: response.completed")) this.streams += 1;
    else this.cut.push(takenBy(response));
  }

  async #dial(): Promise<void> {
    const headers = { authorization: `Bearer ${this.#token}` };
    (await connect(node.url, "/v1/responses", headers)).close();
    this.dials += 1;
    await Bun.sleep(5);
  }
}

describe("of two providers under load", () => {
  test("one is killed: only streams that had begun on it break, and it comes back", async () => {
    const [one, other] = [await simulated(), await simulated()];
    const token = await start(
      "circuit_breaker: {failures: 3, cooldown: 1s}\nproviders:\n" +
        provider("one", one.url) +
        provider("other", other.url),
    );
    const load = new Load(token);
    await Bun.sleep(500);
    await one.stop();
    await node.logged(({ event }) => event === "circuit_opened");
    load.taken = [];
    await Bun.sleep(500);
    expect(new Set(load.taken)).toEqual(new Set(["other"]));
    await simulated(one.port);
    await node.logged(({ event }) => event === "circuit_closed");
    load.taken = [];
    const [streams, dials] = [load.streams, load.dials];
    while (load.taken.length < 400) await Bun.sleep(20);
    const share = load.taken.filter((name) => name === "one").length / load.taken.length;
    while (load.streams === streams || load.dials === dials) await Bun.sleep(20);
    await load.stop();
    expect(load.failures).toEqual([]);
    expect(load.cut.filter((name) => name !== "one")).toEqual([]);
    // No more than both clients of streams had begun.
    expect(load.cut.length).toBeLessThanOrEqual(2);
    // Of 400 at even weights, chance alone is within 0.1 but once in 16,000 runs.
    expect(Math.abs(share - 0.5)).toBeLessThan(0.1);
  }, 30_000);
});

describe("a session is dialled at the next one", () => {
  test.each<[string, string, (socket: RawUpstream["socket"]) => void]>([
    ["503", "", (socket) => void socket.write(answer("503 Unavailable"))],
    ["429", "", (socket) => void socket.write(answer("429 Too Many Requests"))],
    ["a reset", "", (socket) => socket.terminate()],
    ["silence", "timeouts: {dial: 300ms, response_header: 300ms}\n", () => {}],
  ])("after %s", async (_title, config, behave) => {
    const [bad, good] = [await behaving(behave), await simulated()];
    const token = await start(config + bothOf(bad.url, good.url));
    const session = await connect(node.url, "/v1/responses", { authorization: `Bearer ${token}` });
    session.send('{"type":"response.create","model":"m","input":"x"}');
    await session.until((text) => text.includes('"response.completed"'));
    session.close();
    expect([bad.asked(), good.requests.length]).toEqual([1, 1]);
    expect(await usageEvents(node, 1)).toMatchObject([{ provider: "good", status: "completed" }]);
  });
});

test("one without a credential leaves requests and sessions to the next", async () => {
  const [bare, good] = [await simulated(), await simulated()];
  const key = 'api_key: "$(exit 1)", priority: 1';
  const token = await start(
    `providers:\n  - {name: bare, type: openai, endpoint: "${bare.url}", ${key}}\n` +
      provider("good", good.url),
  );
  const headers = { authorization: `Bearer ${token}` };
  (await connect(node.url, "/v1/responses", headers)).close();
  expect(takenBy(await ask(token))).toBe("good");
  expect(bare.requests).toEqual([]);
});

describe("a provider with several keys", () => {
  const three = ", api_keys: [{key: sk-1}, {key: sk-2}, {key: sk-3}]";
  const withKeys = (name: string, url: string, more: string) =>
    `  - {name: ${name}, type: openai, endpoint: "${url}"${three}${more}}\n`;

  test.each(["", ", is_fallback: true"])(
    "that is gone leaves attempts for the other one (%s)",
    async (rank) => {
      const [gone, good] = [await behaving(() => {}), await simulated()];
      await gone.stop();
      const dead = withKeys("dead", gone.url, ", priority: 1");
      const token = await start(`providers:\n${dead}${provider("good", good.url, rank)}`);
      const seen: string[] = [];
      for (let count = 0; count < 4; count += 1) seen.push(takenBy(await ask(token)));
      expect(seen).toEqual(["good", "good", "good", "good"]);
      const headers = { authorization: `Bearer ${token}` };
      (await connect(node.url, "/v1/responses", headers)).close();
    },
  );

  test("has the next key asked where one is busy, before a fallback", async () => {
    const busy = answer("429 Too Many Requests");
    const keyed = await behaving((socket, text) => {
      socket.write(/bearer sk-1/i.test(text) ? busy : answer("200 OK", "", ANSWER));
    });
    const good = await simulated();
    const token = await start(
      `providers:\n${withKeys("keyed", keyed.url, "")}` +
        provider("good", good.url, ", is_fallback: true"),
    );
    // As often as chance does not miss one of three keys.
    for (let count = 0; count < 50; count += 1) {
      expect(takenBy(await ask(token))).toBe("keyed");
    }
    expect(keyed.received()).toContain("sk-1");
  });
});

describe("a 429", () => {
  test("lets its key rest for as long as retry-after says", async () => {
    let isBusy = true;
    const busy = answer("429 Too Many Requests", "retry-after: 2\r\n");
    const bad = await behaving((socket) =>
      socket.write(isBusy ? busy : answer("200 OK", "", ANSWER)),
    );
    const good = await behaving((socket) => socket.write(answer("200 OK", "", ANSWER)));
    const token = await start(bothOf(bad.url, good.url));
    const startMs = performance.now();
    expect(takenBy(await ask(token))).toBe("good");
    isBusy = false;
    expect(takenBy(await ask(token))).toBe("good");
    expect(bad.asked()).toBe(1);
    while (takenBy(await ask(token)) === "good") await Bun.sleep(50);
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(1_900);
  }, 10_000);

  test("of the only one passes with its retry-after", async () => {
    const busy = answer("429 Too Many Requests", "retry-after: 7\r\n", '{"error":"slow down"}');
    const only = await behaving((socket) => socket.write(busy));
    const token = await start(`providers:\n${provider("only", only.url)}`);
    const response = await ask(token);
    expect([response.status, response.headers.get("retry-after")]).toEqual([429, "7"]);
    expect(await response.text()).toBe('{"error":"slow down"}');
  });
});

describe("timeouts", () => {
  test("response_header goes on to the next one", async () => {
    const [silent, good] = [await behaving(() => {}), await simulated()];
    const config = `timeouts: {response_header: 300ms}\n${bothOf(silent.url, good.url)}`;
    const token = await start(config);
    const response = await ask(token);
    expect([response.status, takenBy(response)]).toEqual([200, "good"]);
  });

  test("request is 504 before the answer's head", async () => {
    const silent = await behaving(() => {});
    const only = provider("only", silent.url);
    const token = await start(`timeouts: {request: 300ms}\nproviders:\n${only}`);
    const response = await ask(token);
    expect([response.status, (await response.json()).error.code]).toEqual([
      504,
      "upstream_timeout",
    ]);
  });

  test("request bounds all attempts together", async () => {
    const [one, other] = [await behaving(() => {}), await behaving(() => {})];
    const token = await start(`timeouts: {request: 1s}\n${bothOf(one.url, other.url)}`);
    const startMs = performance.now();
    expect((await ask(token)).status).toBe(504);
    expect(performance.now() - startMs).toBeLessThan(1_900);
    expect(other.asked()).toBe(0);
  });

  test("request leaves the next one what the one before did not use", async () => {
    const [one, other] = [await behaving(() => {}), await behaving(() => {})];
    const config = "timeouts: {request: 1500ms, response_header: 1s}\n";
    const token = await start(config + bothOf(one.url, other.url));
    const startMs = performance.now();
    expect((await ask(token)).status).toBe(504);
    const tookMs = performance.now() - startMs;
    expect([tookMs > 1_400, tookMs < 1_950, other.asked()]).toEqual([true, true, 1]);
  });

  test("request cuts what runs after it, and the turn is recorded", async () => {
    const upstream = await simulated();
    const only = provider("only", upstream.url);
    const token = await start(`timeouts: {request: 500ms}\nproviders:\n${only}`);
    const body = '{"model":"m","input":"x","stream":true}';
    const response = await ask(token, body, "/v1/responses", "tokens=100,delay=each:50ms");
    expect(response.status).toBe(200);
    const reader = response.body?.getReader();
    let text = "";
    const read = (async () => {
      for (;;) {
        const piece = await reader?.read();
        if (piece === undefined || piece.done) return;
        text += new TextDecoder().decode(piece.value);
      }
    })();
    await expect(read).rejects.toThrow();
    expect(text).toContain("response.output_text.delta");
    expect(text).not.toContain("response.completed");
    expect(await usageEvents(node, 1)).toMatchObject([{ provider: "only", status: "interrupted" }]);
  });
});

describe("a body", () => {
  function form(bytes: number): FormData {
    const data = new FormData();
    data.set("model", "whisper-1");
    data.set("file", new Blob(["x".repeat(bytes)]), "a.wav");
    return data;
  }

  test("that is held is sent whole to each", async () => {
    const bad = await behaving((socket, text) => {
      if (text.endsWith("}")) socket.write(answer("503 Unavailable"));
    });
    const good = await simulated();
    const token = await start(bothOf(bad.url, good.url));
    const input = "y".repeat(10_000);
    const response = await ask(token, JSON.stringify({ model: "m", input }));
    expect([response.status, takenBy(response)]).toEqual([200, "good"]);
    expect(new TextDecoder().decode(good.requests[0]?.body)).toContain(input);
  });

  test("that is larger than inspect_body streams, and is tried once", async () => {
    const bad = await behaving((socket, text) => {
      if (text.includes("--\r\n")) socket.write(answer("503 Unavailable"));
    });
    const good = await simulated();
    const token = await start(`limits: {inspect_body: 4KiB}\n${bothOf(bad.url, good.url)}`);
    const large = await ask(token, form(8_000), "/v1/audio/transcriptions");
    expect([large.status, takenBy(large)]).toEqual([503, "bad"]);
    expect(good.requests).toEqual([]);
    const small = await ask(token, form(1_000), "/v1/audio/transcriptions");
    expect([small.status, takenBy(small)]).toEqual([200, "good"]);
  });
});

test("where every provider is gone, the refusal says so and counts as theirs", async () => {
  const [one, other] = [await behaving(() => {}), await behaving(() => {})];
  for (const upstream of [one, other]) await upstream.stop();
  const token = await start(
    `circuit_breaker: {failures: 2, cooldown: 1h}\n${bothOf(one.url, other.url)}`,
  );
  const seen: [number, string][] = [];
  for (let count = 0; count < 3; count += 1) {
    const response = await ask(token);
    seen.push([response.status, (await response.json()).error.code]);
  }
  expect(seen).toEqual([
    [502, "upstream_unreachable"],
    [502, "upstream_unreachable"],
    [503, "circuit_open"],
  ]);
});
