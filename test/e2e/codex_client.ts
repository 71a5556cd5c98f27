/**
 * A client that does what Codex CLI 0.169.0 does on a WebSocket, as it was seen to run: a warm-up
 * before its first turn, then the turn; on some refusals it stops, on others it connects again, and
 * at last it posts the turn over HTTP.
 */

import { type Client, connect } from "./ws_client.ts";

/** Statuses of a wrapped error on which Codex stops. On every other it connects again. */
const STOPS_ON: readonly number[] = [400, 429];
/** Codes of a failed response on which it stops. */
const STOPS_ON_CODES: readonly string[] = ["invalid_prompt", "insufficient_quota"];

/** What came of one prompt. */
export interface CodexRun {
  readonly isAnswered: boolean;
  /** What the user reads; null: nothing was wrong. */
  readonly said: string | null;
  readonly connections: number;
  readonly posts: number;
}

interface CodexOptions {
  readonly url: string;
  readonly token: string;
  /** How often a turn is tried again on a new connection (`stream_max_retries`). */
  readonly retries: number;
  /** Runs between the warm-up and the turn. */
  readonly afterWarmUp?: () => Promise<void>;
  /** What the simulated provider is asked to do (`x-mock`). */
  readonly mock?: string;
}

/** How one attempt at a turn ended. */
type Ending =
  | { readonly ended: "answered"; readonly id: string }
  | { readonly ended: "stopped"; readonly said: string }
  | { readonly ended: "broken" };

/** Asks for one turn in fast mode, as `codex exec` does. */
export async function runCodex(options: CodexOptions): Promise<CodexRun> {
  return await new Codex(options).run();
}

class Codex {
  readonly #options: CodexOptions;
  #connections = 0;

  constructor(options: CodexOptions) {
    this.#options = options;
  }

  async run(): Promise<CodexRun> {
    const { retries, afterWarmUp } = this.#options;
    let client: Client | null = await this.#connect();
    const warmUp = await this.#turn(client, { generate: false });
    // One that fails is not told, and its connection is given up.
    if (warmUp.ended !== "answered") client = this.#drop(client);
    await afterWarmUp?.();
    const former = warmUp.ended === "answered" ? { previous_response_id: warmUp.id } : {};
    for (let tries = 0; tries <= retries; tries += 1) {
      client ??= await this.#connect();
      const ending = await this.#turn(client, tries === 0 ? former : {});
      client = this.#drop(client);
      if (ending.ended === "answered") return this.#result(true, null, 0);
      if (ending.ended === "stopped") return this.#result(false, ending.said, 0);
    }
    return await this.#post();
  }

  async #connect(): Promise<Client> {
    this.#connections += 1;
    return await connect(this.#options.url, "/v1/responses", this.#headers());
  }

  /** Without a close frame. */
  #drop(client: Client): null {
    client.terminate();
    return null;
  }

  async #turn(client: Client, more: object): Promise<Ending> {
    client.send(JSON.stringify({ type: "response.create", ...this.#request(), ...more }));
    try {
      for (;;) {
        const text = await client.next();
        const ending = endingOf(text);
        if (ending !== null) return ending;
      }
    } catch {
      return { ended: "broken" };
    }
  }

  async #post(): Promise<CodexRun> {
    const answer = await fetch(`${this.#options.url}/v1/responses`, {
      method: "POST",
      headers: { ...this.#headers(), "content-type": "application/json" },
      body: JSON.stringify(this.#request()),
    });
    const text = await answer.text();
    return this.#result(answer.ok, answer.ok ? null : text, 1);
  }

  #headers(): Record<string, string> {
    const { token, mock } = this.#options;
    const script: Record<string, string> = mock === undefined ? {} : { "x-mock": mock };
    return { authorization: `Bearer ${token}`, ...script };
  }

  #request(): object {
    return { model: "gpt-5.5", input: "Say OK", stream: true, service_tier: "priority" };
  }

  #result(isAnswered: boolean, said: string | null, posts: number): CodexRun {
    return { isAnswered, said, connections: this.#connections, posts };
  }
}

/** Null: it goes on. An error without a numeric status is not even looked at. */
function endingOf(text: string): Ending | null {
  const { type, status, response } = JSON.parse(text);
  if (type === "response.completed") return { ended: "answered", id: response.id };
  if (type === "response.failed") {
    const { code, message } = response.error;
    return STOPS_ON_CODES.includes(code) ? { ended: "stopped", said: message } : BROKEN;
  }
  if (type !== "error" || typeof status !== "number") return null;
  return STOPS_ON.includes(status) ? { ended: "stopped", said: text } : BROKEN;
}

const BROKEN: Ending = { ended: "broken" };
