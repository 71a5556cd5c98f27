/**
 * A Gemini Live session: set up, spoken or written to, interrupted, called tools for.
 *
 * Owns: what is said in it. Does not own: pace and faults.
 * Invariant: the first message must be a `setup`; turns run one after another; the prompt of a turn
 * holds all turns before it, and its usage is its own.
 */

import { Buffer } from "node:buffer";

import type { OutputEvent, World } from "./answer.ts";
import { functionsIn, tokensIn } from "./gemini_generate.ts";
import { isObject, type JsonObject, listIn, objectIn, parseObject, stringIn } from "./json.ts";
import { callFor, type FunctionCall, outputSize } from "./openai_request.ts";
import type { Script } from "./script.ts";
import type { Dialogue, MockSession } from "./session.ts";

/** 16 kHz, 16 bits, 25 tokens a second. */
const PCM_BYTES_PER_TOKEN = 1_280;
/** Silence of 20 ms at 24 kHz. */
const AUDIO = new Uint8Array(960).toBase64();
const POLICY_VIOLATION = 1008;
const INVALID_ARGUMENT = 1007;
const INTERNAL_ERROR = 1011;

/** What was said to the model since its last turn. */
interface Heard {
  text: number;
  audioBytes: number;
}

interface Usage {
  readonly text: number;
  readonly audio: number;
}

export class LiveDialogue implements Dialogue {
  readonly isBinary = true;
  readonly #world: World;
  #setup: JsonObject | null = null;
  #heard: Heard = { text: 0, audioBytes: 0 };
  /** Tokens of all turns so far. */
  #history: Usage = { text: 0, audio: 0 };
  /** Turns that were asked for and have not begun. */
  #waiting = 0;
  #isRunning = false;
  #isInterrupted = false;
  #calls = 0;

  constructor(world: World) {
    this.#world = world;
  }

  opened(): void {}

  closed(): void {
    this.#waiting = 0;
  }

  message(session: MockSession, text: string): void {
    const event = parseObject(text);
    if (event === null) session.close(INVALID_ARGUMENT, "Request contains an invalid argument.");
    else if (this.#setup === null) this.#begin(session, event);
    else if (isObject(event["clientContent"])) this.#content(session, event["clientContent"]);
    else if (isObject(event["realtimeInput"])) this.#realtime(session, event["realtimeInput"]);
    else if (isObject(event["toolResponse"])) this.#ask(session);
    else session.close(INVALID_ARGUMENT, "Unknown message. Known: clientContent, realtimeInput");
  }

  #begin(session: MockSession, { setup }: JsonObject): void {
    if (!isObject(setup)) {
      session.close(INVALID_ARGUMENT, "The first message must be a setup");
    } else if (stringIn(setup, "model")?.startsWith("models/") !== true) {
      session.close(POLICY_VIOLATION, "setup.model must be models/NAME");
    } else {
      this.#setup = setup;
      this.#heard.text += tokensIn([setup["systemInstruction"]]);
      session.say('{"setupComplete":{}}');
    }
  }

  #content(session: MockSession, content: JsonObject): void {
    this.#heard.text += tokensIn(listIn(content, "turns"));
    if (content["turnComplete"] === true) this.#ask(session);
  }

  /** The end of speech has to be told: nobody listens here. Text is a turn of its own. */
  #realtime(session: MockSession, input: JsonObject): void {
    const data = stringIn(objectIn(input, "audio"), "data");
    const text = stringIn(input, "text");
    if (data !== null) this.#heard.audioBytes += Buffer.byteLength(data, "base64");
    if (text !== null) this.#heard.text += tokensIn([{ parts: [{ text }] }]);
    const isOver = text !== null || input["audioStreamEnd"] === true || "activityEnd" in input;
    if (isOver) this.#ask(session);
  }

  /** Whoever speaks while the model does interrupts it. */
  #ask(session: MockSession): void {
    this.#waiting += 1;
    if (this.#isRunning) this.#isInterrupted = true;
    else void this.#work(session);
  }

  async #work(session: MockSession): Promise<void> {
    this.#isRunning = true;
    for (; this.#waiting > 0; this.#waiting -= 1) {
      const { error } = session.script;
      if (error !== null) return session.close(INTERNAL_ERROR, error.toUpperCase());
      this.#isInterrupted = false;
      if ((await session.play(this.#events(session.script), session.script)) === "over") return;
    }
    this.#isRunning = false;
  }

  *#events(script: Script): Generator<OutputEvent> {
    const setup = this.#setup ?? {};
    const call = callFor({ tools: functionsIn(setup) }, this.#calls > 0);
    if (call !== null) {
      yield this.#call(call);
      return;
    }
    const prompt = this.#prompt();
    const config = objectIn(setup, "generationConfig");
    const { tokens } = outputSize(config, script, ["maxOutputTokens"]);
    const isAudio = listIn(config, "responseModalities").includes("AUDIO");
    let said = 0;
    while (said < tokens && !this.#isInterrupted) {
      const part = isAudio ? audioPart() : { text: this.#world.words.delta(said) };
      yield eventOf({ serverContent: { modelTurn: { parts: [part] } } }, true);
      said += 1;
    }
    yield eventOf({ serverContent: this.#isInterrupted ? { interrupted: true } : GENERATED });
    const output = isAudio ? { text: 0, audio: said } : { text: said, audio: 0 };
    this.#history = { text: prompt.text + output.text, audio: prompt.audio + output.audio };
    yield eventOf({
      usageMetadata: usageOf(prompt, output),
      serverContent: { turnComplete: true },
    });
  }

  /** What has been said goes into the prompt, and is forgotten as new. */
  #prompt(): Usage {
    const { text, audioBytes } = this.#heard;
    this.#heard = { text: 0, audioBytes: 0 };
    const audio = Math.ceil(audioBytes / PCM_BYTES_PER_TOKEN);
    return { text: this.#history.text + text, audio: this.#history.audio + audio };
  }

  #call({ name, arguments: json }: FunctionCall): OutputEvent {
    this.#calls += 1;
    const id = `function-call-${this.#calls}`;
    return eventOf({ toolCall: { functionCalls: [{ id, name, args: JSON.parse(json) }] } });
  }
}

const GENERATED = { generationComplete: true };

function audioPart(): JsonObject {
  return { inlineData: { mimeType: "audio/pcm;rate=24000", data: AUDIO } };
}

function usageOf(prompt: Usage, response: Usage): JsonObject {
  const promptTokenCount = prompt.text + prompt.audio;
  const responseTokenCount = response.text + response.audio;
  return {
    promptTokenCount,
    responseTokenCount,
    totalTokenCount: promptTokenCount + responseTokenCount,
    promptTokensDetails: detailsOf(prompt),
    responseTokensDetails: detailsOf(response),
  };
}

function detailsOf({ text, audio }: Usage): JsonObject[] {
  const details = [
    { modality: "TEXT", tokenCount: text },
    { modality: "AUDIO", tokenCount: audio },
  ];
  return details.filter(({ tokenCount }) => tokenCount > 0);
}

function eventOf(event: JsonObject, delta = false): OutputEvent {
  return { text: JSON.stringify(event), delta };
}
