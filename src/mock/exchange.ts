/**
 * One request to a simulated provider, and what a provider is to it. A provider is added by writing
 * one and naming it in `mock.ts`.
 *
 * Owns: the script in force, and the body, which is recorded as it is read.
 * Does not own: the answer.
 * Invariant: a body is read once, and what is read is recorded.
 */

import { type Answer, AnswerNow, type World } from "./answer.ts";
import { type JsonObject, parseObject } from "./json.ts";
import type { Recording } from "./recorder.ts";
import { type Script, ScriptError, parseScript } from "./script.ts";
import type { Dialogue } from "./session.ts";

/** A WebSocket that a provider agrees to. */
export interface Welcome {
  readonly subprotocol: string | null;
  readonly dialogue: Dialogue;
}

export interface MockProvider {
  /** Whether the path is one of this provider's. */
  handles(path: string): boolean;
  /** Headers that all of its answers carry. */
  commonHeaders(exchange: MockExchange): Headers;
  /** Why the request's credential is refused; null: it is not. */
  refuseCredential(exchange: MockExchange): Answer | null;
  http(exchange: MockExchange): Answer | Promise<Answer>;
  /** Throws `AnswerNow` where there is no WebSocket at this path. */
  socket(exchange: MockExchange): Welcome;
  /** The answer that a script's `status` and `error` ask for. */
  scriptedError(script: Script, exchange: MockExchange): Answer;
  /** The answer to a script that cannot be followed. */
  badScript(message: string): Answer;
  /** A script in a request's body; null: none. */
  scriptIn(body: JsonObject): string | null;
}

const decoder = new TextDecoder();

export class MockExchange {
  readonly world: World;
  readonly request: Request;
  readonly provider: MockProvider;
  readonly recording: Recording;
  /** Without the query. */
  readonly path: string;
  readonly startedMs: number;
  script: Script;

  constructor(
    world: World,
    request: Request,
    provider: MockProvider,
    recording: Recording,
    path: string,
    script: Script,
  ) {
    this.world = world;
    this.request = request;
    this.provider = provider;
    this.recording = recording;
    this.path = path;
    this.script = script;
    this.startedMs = world.clock.monotonicMs();
  }

  get query(): URLSearchParams {
    const at = this.recording.path.indexOf("?");
    return new URLSearchParams(at < 0 ? "" : this.recording.path.slice(at));
  }

  /** The whole body. */
  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(await this.request.arrayBuffer());
    this.recording.addBody(bytes);
    return bytes;
  }

  /** The body as it comes. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    const { body } = this.request;
    if (body === null) return;
    for await (const chunk of body) {
      this.recording.addBody(chunk);
      yield chunk;
    }
  }

  /** Reads the body for the record only. */
  async drain(): Promise<void> {
    const chunks = this.chunks();
    while (!(await chunks.next()).done);
  }

  /**
   * The body as an object, with the script in it put in force.
   * @param refusal the answer to a body that is none
   * @throws AnswerNow
   */
  async json(refusal: () => AnswerNow): Promise<JsonObject> {
    const body = parseObject(decoder.decode(await this.bytes()));
    if (body === null) throw refusal();
    const text = this.provider.scriptIn(body);
    if (text !== null) this.obey(text);
    return body;
  }

  /**
   * Puts a script in force on top of the one in force.
   * @throws AnswerNow where it cannot be followed, or is itself the answer
   */
  obey(text: string): void {
    this.script = readScript(text, this.script, this.provider);
    const answer = scriptedAnswer(this);
    if (answer !== null) throw new AnswerNow(answer);
  }
}

/** @throws AnswerNow where the script cannot be followed */
export function readScript(text: string, base: Script, provider: MockProvider): Script {
  try {
    return parseScript(text, base);
  } catch (thrown) {
    if (!(thrown instanceof ScriptError)) throw thrown;
    throw new AnswerNow(provider.badScript(thrown.message));
  }
}

/** The answer where the script alone decides it: an error, or a fixture. Null: it does not. */
export function scriptedAnswer(exchange: MockExchange): Answer | null {
  const { script, provider, world } = exchange;
  // With `after` the error comes in the middle of the answer.
  if (script.status !== null || (script.error !== null && script.after === null)) {
    return provider.scriptedError(script, exchange);
  }
  if (script.fixture === null) return null;
  const recorded = world.fixtures.answer(script.fixture);
  if (recorded !== null) return { ...recorded, exact: true };
  return provider.badScript(unknownFixture(script.fixture, world));
}

/** What to say of a fixture name that does not fit. */
export function unknownFixture(name: string, world: World): string {
  const hint = world.fixtures.has(name)
    ? "A .jsonl fixture is a WebSocket session, a .json or .sse one an HTTP answer"
    : `Known: ${world.fixtures.names.join(", ")}`;
  return `x-mock: fixture=${name} is not there to replay. ${hint}`;
}
