/**
 * The recorded exchanges that are part of the executable.
 *
 * Owns: the list. Does not own: how they are replayed (`fixtures.ts`).
 * Invariant: the files are imported as text, so that they are there with no file system to read.
 */

import anthropicErrorStream from "./fixtures/anthropic_error_stream.sse.txt" with { type: "text" };
import anthropicErrors from "./fixtures/anthropic_errors.json.txt" with { type: "text" };
import anthropicMessage from "./fixtures/anthropic_message.json.txt" with { type: "text" };
import anthropicStream from "./fixtures/anthropic_stream.sse.txt" with { type: "text" };
import anthropicTools from "./fixtures/anthropic_stream_tool_cache.sse.txt" with { type: "text" };
import geminiErrors from "./fixtures/gemini_errors.json.txt" with { type: "text" };
import geminiGenerate from "./fixtures/gemini_generate.json.txt" with { type: "text" };
import geminiStream from "./fixtures/gemini_stream.sse.txt" with { type: "text" };
import audioTranscription from "./fixtures/audio_transcription.json.txt" with { type: "text" };
import chat from "./fixtures/chat_completions.json.txt" with { type: "text" };
import chatNoUsage from "./fixtures/chat_completions_stream_no_usage.sse.txt" with { type: "text" };
import chatUsage from "./fixtures/chat_completions_stream_usage.sse.txt" with { type: "text" };
import embeddings from "./fixtures/embeddings.json.txt" with { type: "text" };
import httpExchanges from "./fixtures/http_exchanges.json.txt" with { type: "text" };
import openaiErrors from "./fixtures/openai_errors.json.txt" with { type: "text" };
import clientSecret from "./fixtures/realtime_client_secret.json.txt" with { type: "text" };
import realtimeText from "./fixtures/realtime_ga_text.jsonl.txt" with { type: "text" };
import responses from "./fixtures/responses.json.txt" with { type: "text" };
import responsesStream from "./fixtures/responses_stream.sse.txt" with { type: "text" };
import wsCached from "./fixtures/responses_ws_cached_and_reasoning.jsonl.txt" with { type: "text" };
import wsWarmup from "./fixtures/responses_ws_codex_warmup.jsonl.txt" with { type: "text" };
import wsError from "./fixtures/responses_ws_error_event.jsonl.txt" with { type: "text" };
import wsFailed from "./fixtures/responses_ws_failed.jsonl.txt" with { type: "text" };
import wsIncomplete from "./fixtures/responses_ws_incomplete.jsonl.txt" with { type: "text" };
import wsLanes from "./fixtures/responses_ws_multiplex_lanes.jsonl.txt" with { type: "text" };
import wsTwoTurns from "./fixtures/responses_ws_two_turns.jsonl.txt" with { type: "text" };

/** Contents by file name. */
export const EMBEDDED: Readonly<Record<string, string>> = {
  "anthropic_error_stream.sse": anthropicErrorStream,
  "anthropic_errors.json": anthropicErrors,
  "anthropic_message.json": anthropicMessage,
  "anthropic_stream.sse": anthropicStream,
  "anthropic_stream_tool_cache.sse": anthropicTools,
  "gemini_errors.json": geminiErrors,
  "gemini_generate.json": geminiGenerate,
  "gemini_stream.sse": geminiStream,
  "audio_transcription.json": audioTranscription,
  "chat_completions.json": chat,
  "chat_completions_stream_no_usage.sse": chatNoUsage,
  "chat_completions_stream_usage.sse": chatUsage,
  "embeddings.json": embeddings,
  "http_exchanges.json": httpExchanges,
  "openai_errors.json": openaiErrors,
  "realtime_client_secret.json": clientSecret,
  "realtime_ga_text.jsonl": realtimeText,
  "responses.json": responses,
  "responses_stream.sse": responsesStream,
  "responses_ws_cached_and_reasoning.jsonl": wsCached,
  "responses_ws_codex_warmup.jsonl": wsWarmup,
  "responses_ws_error_event.jsonl": wsError,
  "responses_ws_failed.jsonl": wsFailed,
  "responses_ws_incomplete.jsonl": wsIncomplete,
  "responses_ws_multiplex_lanes.jsonl": wsLanes,
  "responses_ws_two_turns.jsonl": wsTwoTurns,
};
