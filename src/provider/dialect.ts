/**
 * The provider of each type, and the readers of each message format.
 *
 * Owns: the two tables. A reader that is added here is in use.
 * Does not own: anything else.
 * Invariant: a format without a reader is relayed all the same; its usage is recorded as missing.
 */

import type { ProviderType } from "../exchange.ts";
import { anthropic } from "./anthropic.ts";
import { messageBody, messagesReader } from "./anthropic_messages.ts";
import { forward } from "./forward.ts";
import { gemini } from "./gemini.ts";
import { generateBody, generateReader } from "./gemini_generate.ts";
import { liveReader } from "./gemini_live.ts";
import { openai } from "./openai.ts";
import { chatBody, chatReader } from "./openai_chat.ts";
import { embeddingsBody, mediaBody, mediaReader, moderationBody } from "./openai_media.ts";
import { realtimeReader } from "./openai_realtime.ts";
import { responseBody, responsesReader } from "./openai_responses.ts";
import type { JsonBodyReader, MessageReader, MeterDialect, Provider } from "./provider.ts";

const PROVIDERS: Readonly<Record<ProviderType, Provider>> = { openai, anthropic, gemini, forward };

interface Readers {
  readonly messages: (() => MessageReader) | null;
  readonly body: JsonBodyReader | null;
}

const NONE: Readers = { messages: null, body: null };
const READERS: Readonly<Record<MeterDialect, Readers>> = {
  none: NONE,
  openai_responses: { messages: () => responsesReader, body: responseBody },
  openai_chat: { messages: () => chatReader, body: chatBody },
  openai_completions: { messages: () => chatReader, body: chatBody },
  openai_embeddings: { messages: null, body: embeddingsBody },
  openai_audio: { messages: () => mediaReader, body: mediaBody },
  openai_images: { messages: () => mediaReader, body: mediaBody },
  openai_moderations: { messages: null, body: moderationBody },
  openai_realtime: { messages: () => realtimeReader, body: null },
  anthropic_messages: { messages: messagesReader, body: messageBody },
  gemini_generate: { messages: generateReader, body: generateBody },
  gemini_live: { messages: liveReader, body: null },
};

export function providerOf(type: ProviderType): Provider {
  return PROVIDERS[type];
}

/** Whether a stream that was not asked for as SSE is one JSON array, element by element. */
export function streamsAsArray(dialect: MeterDialect): boolean {
  return dialect === "gemini_generate";
}

/** A reader of the messages of one session, or of one stream's events; null: nobody can. */
export function messageReaderOf(dialect: MeterDialect): MessageReader | null {
  return READERS[dialect].messages?.() ?? null;
}

/** Reads JSON bodies; null: nobody can. */
export function bodyReaderOf(dialect: MeterDialect): JsonBodyReader | null {
  return READERS[dialect].body;
}
