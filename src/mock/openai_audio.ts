/**
 * Speech from text and text from speech.
 *
 * Owns: their bodies and events. Does not own: Realtime audio.
 * Invariant: audio is counted as 24 kHz 16-bit mono, ten tokens a second, whatever it is.
 */

import type { MockExchange } from "./exchange.ts";
import { stringIn } from "./json.ts";
import { badField, notJson } from "./openai_errors.ts";
import { modelOf, outputSize } from "./openai_request.ts";
import type { Answer, OutputEvent } from "./answer.ts";
import { tokensOf } from "./text.ts";

/** Bytes of PCM in a tenth of a second, which OpenAI bills as one input token. */
export const PCM_BYTES_PER_TOKEN = 4_800;
const SPEECH_BYTES_PER_TOKEN = 960;
const WHISPER = "whisper-1";
const SSE_TYPE = { "content-type": "text/event-stream; charset=utf-8" };

/** A transcription or translation: multipart in; JSON, plain text or events out. */
export async function transcription(exchange: MockExchange): Promise<Answer> {
  const form = await formOf(exchange);
  const file = form.get("file");
  if (file === null || typeof file === "string") {
    throw badField("file", "'file' is a required property");
  }
  const model = form.get("model");
  if (typeof model !== "string") throw badField("model", "you must provide a model parameter");
  const mock = form.get("metadata[mock]");
  if (typeof mock === "string") exchange.obey(mock);
  const { words } = exchange.world;
  const { tokens } = outputSize({}, exchange.script, []);
  const text = words.text(tokens);
  const format = form.get("response_format") ?? "json";
  if (format === "text" || format === "srt" || format === "vtt") {
    const cue = `00:00:00${format === "srt" ? "," : "."}000 --> 00:00:01,000`;
    const timed = format === "srt" ? `1\n${cue}\n${text}\n` : `WEBVTT\n\n${cue}\n${text}\n`;
    const headers = { "content-type": "text/plain; charset=utf-8" };
    return { status: 200, headers, body: format === "text" ? `${text}\n` : timed };
  }
  const usage = usageOf(model, file.size, tokens);
  if (form.get("stream") === "true") {
    return { status: 200, headers: SSE_TYPE, body: textEvents(exchange, tokens, usage) };
  }
  const seconds = Math.ceil(file.size / (PCM_BYTES_PER_TOKEN * 10));
  const verbose = { task: "transcribe", language: "english", duration: seconds };
  const fields = format === "verbose_json" ? verbose : {};
  const headers = { "content-type": "application/json" };
  return { status: 200, headers, body: JSON.stringify({ ...fields, text, usage }) };
}

async function formOf(exchange: MockExchange): Promise<FormData> {
  const type = exchange.request.headers.get("content-type") ?? "";
  const bytes = await exchange.bytes();
  try {
    return await new Response(bytes, { headers: { "content-type": type } }).formData();
  } catch {
    throw badField("file", "Could not parse multipart form");
  }
}

function usageOf(model: string, fileBytes: number, output: number): object {
  const audio = Math.ceil(fileBytes / PCM_BYTES_PER_TOKEN);
  if (model === WHISPER) return { type: "duration", seconds: Math.ceil(audio / 10) };
  return {
    type: "tokens",
    total_tokens: audio + output,
    input_tokens: audio,
    input_token_details: { text_tokens: 0, audio_tokens: audio },
    output_tokens: output,
  };
}

function* textEvents(
  { world }: MockExchange,
  tokens: number,
  usage: object,
): Generator<OutputEvent> {
  for (let index = 0; index < tokens; index += 1) {
    yield event({ type: "transcript.text.delta", delta: world.words.delta(index) }, true);
  }
  yield event({ type: "transcript.text.done", text: world.words.text(tokens), usage }, false);
}

function event(value: object, delta: boolean): OutputEvent {
  return { text: `data: ${JSON.stringify(value)}\n\n`, delta };
}

/** Speech: JSON in; audio bytes or events out. `tokens` says how much of it. */
export async function speech(exchange: MockExchange): Promise<Answer> {
  const body = await exchange.json(notJson);
  modelOf(body);
  const input = stringIn(body, "input");
  if (input === null) throw badField("input", "'input' is a required property");
  const { tokens } = outputSize({}, exchange.script, []);
  if (body["stream_format"] !== "sse") {
    const type = SPEECH_TYPES[stringIn(body, "response_format") ?? "mp3"] ?? "audio/mpeg";
    return { status: 200, headers: { "content-type": type }, body: soundOf(tokens) };
  }
  const spoken = tokensOf(input.length);
  const usage = { input_tokens: spoken, output_tokens: tokens, total_tokens: spoken + tokens };
  function* events(): Generator<OutputEvent> {
    const audio = soundOf(1).toBase64();
    for (let index = 0; index < tokens; index += 1) {
      yield event({ type: "speech.audio.delta", audio }, true);
    }
    yield event({ type: "speech.audio.done", usage }, false);
  }
  return { status: 200, headers: SSE_TYPE, body: events() };
}

const SPEECH_TYPES: Readonly<Record<string, string>> = {
  mp3: "audio/mpeg",
  opus: "audio/opus",
  aac: "audio/aac",
  flac: "audio/flac",
  wav: "audio/wav",
  pcm: "audio/pcm",
};

/** A saw tooth: every byte value occurs, so that nothing on the way can take it for text. */
function soundOf(tokens: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: tokens * SPEECH_BYTES_PER_TOKEN }, (_, index) => index % 256);
}
