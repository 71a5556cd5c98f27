/**
 * The simulated providers behind one port: for `sluice mock`, `sluice demo`, tests and benchmarks.
 *
 *   request ─▶ record ─▶ script ─▶ credential ─▶ provider ─▶ delays and faults ─▶ answer
 *
 * Owns: that order, and the records at `/__mock/requests`.
 * Does not own: what a provider answers (`openai.ts`, `anthropic.ts`, `gemini.ts`), how a script
 * bends it (`deliver.ts`, `session.ts`).
 * Invariant: everything listens on the runtime that it is given; no file of this folder names one.
 */

import { bracketed } from "../lib/host_name.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Connection, ListenOptions, Runtime } from "../runtime/runtime.ts";
import { deliver } from "./deliver.ts";
import {
  MockExchange,
  readScript,
  scriptedAnswer,
  unknownFixture,
  type MockProvider,
} from "./exchange.ts";
import { Fixtures, type TranscriptStep } from "./fixtures.ts";
import { AnthropicMock } from "./anthropic.ts";
import { GeminiMock } from "./gemini.ts";
import { OpenaiMock } from "./openai.ts";
import { AnswerNow, type World } from "./answer.ts";
import { type Dialogue, MockSession } from "./session.ts";
import { Recorder, type RecordedRequest } from "./recorder.ts";
import { NO_SCRIPT, type Script } from "./script.ts";
import { Ids, Words } from "./text.ts";

const BODY_BYTES_MAX = 8 * 1024 ** 3;
const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;
const RECORDS_PATH = "/__mock/requests";

export interface MockOptions {
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly hostname: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly tls?: NonNullable<ListenOptions["tls"]>;
  /** Folder of recorded exchanges that win over the embedded ones. */
  readonly fixturesDir?: string;
  /** Of the words. */
  readonly seed?: number;
  /** Credentials to accept; absent: all but `sk-mock-invalid`. */
  readonly keys?: readonly string[];
  /** False keeps no records, for benchmarks. */
  readonly record?: boolean;
}

export interface Mock {
  /** Without a path: `http://127.0.0.1:4010`. */
  readonly url: string;
  readonly port: number;
  /** What came, oldest first; bounded, the newest are kept. */
  readonly requests: readonly RecordedRequest[];
  /** Names that `fixture=` knows. */
  readonly fixtures: readonly string[];
  /** Forgets what came. */
  clear(): void;
  /** Drops what is open. */
  stop(): Promise<void>;
}

/** Starts the simulated providers. @throws Error when the folder or the port cannot be had */
export async function startMock(options: MockOptions): Promise<Mock> {
  const fixtures = await Fixtures.load(options.fixturesDir ?? null);
  const salt = crypto.getRandomValues(new Uint8Array(20)).toHex();
  const world: World = {
    clock: options.clock,
    words: new Words(options.seed ?? 1),
    ids: new Ids(salt),
    fixtures,
    keys: options.keys === undefined ? null : new Set(options.keys),
  };
  const recorder = new Recorder(options.record ?? true);
  const front = new Front(world, recorder);
  const listener = options.runtime.listen({
    hostname: options.hostname,
    port: options.port,
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    bodyBytesMax: BODY_BYTES_MAX,
    messageBytesMax: MESSAGE_BYTES_MAX,
    handle: (request, connection) => front.handle(request, connection),
  });
  return {
    url: `${listener.secure ? "https" : "http"}://${bracketed(options.hostname)}:${listener.port}`,
    port: listener.port,
    get requests() {
      return recorder.requests;
    },
    fixtures: fixtures.names,
    clear: () => recorder.clear(),
    stop: () => listener.stop(true),
  };
}

class Front {
  readonly #world: World;
  readonly #recorder: Recorder;
  readonly #openai: MockProvider;
  readonly #providers: readonly MockProvider[];

  constructor(world: World, recorder: Recorder) {
    this.#world = world;
    this.#recorder = recorder;
    this.#openai = new OpenaiMock(world);
    // OpenAI's paths include everything under /v1/ that the others do not claim.
    this.#providers = [new AnthropicMock(world), new GeminiMock(world), this.#openai];
  }

  async handle(request: Request, connection: Connection): Promise<Response | undefined> {
    // A script may ask for silence of any length.
    connection.setIdleTimeout(0);
    const target = targetOf(request.url);
    const path = target.split("?", 1)[0] ?? target;
    if (path === RECORDS_PATH) return this.#records(request);
    const provider = this.#providers.find((one) => one.handles(path)) ?? this.#openai;
    const recording = this.#recorder.begin(request, target);
    const upgrade = request.headers.get("upgrade")?.toLowerCase() === "websocket";
    const exchange = new MockExchange(this.#world, request, provider, recording, path, NO_SCRIPT);
    try {
      exchange.script = scriptOf(exchange);
      const refusal = provider.refuseCredential(exchange);
      if (refusal !== null) throw new AnswerNow(refusal);
      if (upgrade) return await this.#upgrade(exchange, connection);
      return await this.#answer(exchange);
    } catch (thrown) {
      if (!(thrown instanceof AnswerNow)) throw thrown;
      return await deliver(thrown.answer, exchange);
    }
  }

  async #answer(exchange: MockExchange): Promise<Response> {
    const scripted = scriptedAnswer(exchange);
    if (scripted !== null) {
      await exchange.drain();
      return await deliver(scripted, exchange);
    }
    return await deliver(await exchange.provider.http(exchange), exchange);
  }

  async #upgrade(exchange: MockExchange, connection: Connection): Promise<Response | undefined> {
    const { script, provider, recording } = exchange;
    const { clock } = this.#world;
    // An error without a status is for the turns.
    if (script.status !== null)
      return await deliver(provider.scriptedError(script, exchange), exchange);
    if (script.hang) return await new Promise<never>(() => {});
    if (script.chunkBytes !== null || script.bodyBytes !== null) {
      throw new AnswerNow(provider.badScript("x-mock: chunk and bytes are for HTTP bodies"));
    }
    const welcome = provider.socket(exchange);
    const steps = this.#transcript(exchange);
    const dialogue = steps === null ? welcome.dialogue : new Replay(steps);
    const session = new MockSession(clock, script, recording, dialogue);
    const headers = provider.commonHeaders(exchange);
    if (connection.upgrade(headers, welcome.subprotocol, session)) return undefined;
    throw new AnswerNow(provider.badScript("The WebSocket handshake is not valid"));
  }

  #transcript({ script, provider }: MockExchange): readonly TranscriptStep[] | null {
    if (script.fixture === null) return null;
    const steps = this.#world.fixtures.transcript(script.fixture);
    if (steps !== null) return steps;
    throw new AnswerNow(provider.badScript(unknownFixture(script.fixture, this.#world)));
  }

  #records(request: Request): Response {
    if (request.method === "DELETE") {
      this.#recorder.clear();
      return new Response(null, { status: 204 });
    }
    if (request.method !== "GET") {
      return new Response("GET or DELETE\n", { status: 405, headers: { allow: "GET, DELETE" } });
    }
    const headers = { "content-type": "application/json" };
    return new Response(this.#recorder.toJson(), { headers });
  }
}

/** Path and query as they came. */
function targetOf(url: string): string {
  const at = url.indexOf("/", url.indexOf("://") + 3);
  return at < 0 ? "/" : url.slice(at);
}

/** The script of the header, on top of the one in the query. */
function scriptOf(exchange: MockExchange): Script {
  const { provider, request, recording } = exchange;
  const header = request.headers.get("x-mock");
  const query = recording.path.includes("mock=") ? exchange.query.get("mock") : null;
  let script = NO_SCRIPT;
  if (query !== null) script = readScript(query, script, provider);
  return header === null ? script : readScript(header, script, provider);
}

/** Plays a recorded session instead of answering. */
class Replay implements Dialogue {
  readonly #steps: readonly TranscriptStep[];
  /** Client frames that no step has waited for yet. */
  #unread = 0;
  #wake: (() => void) | null = null;

  constructor(steps: readonly TranscriptStep[]) {
    this.#steps = steps;
  }

  opened(session: MockSession): void {
    void session.replay(this.#steps, () => this.#clientFrame());
  }

  message(): void {
    this.#unread += 1;
    this.#wake?.();
  }

  closed(): void {}

  async #clientFrame(): Promise<void> {
    if (this.#unread === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#wake = null;
    this.#unread -= 1;
  }
}
