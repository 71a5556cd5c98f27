/** A usage event that differs from others in its number only. */

import type { UsageEvent } from "../../src/exchange.ts";

/** `event_id` sorts like `number`, and so does `recorded_at`. */
export function usageEvent(number: number, change: Partial<UsageEvent> = {}): UsageEvent {
  return {
    event_id: `evt_${String(number).padStart(8, "0")}`,
    recorded_at: 1_795_190_000_000 + number,
    node_id: "node_1",
    project_id: "default",
    token_id: null,
    session_id: "ses_1",
    turn: number,
    kind: "response",
    transport: "websocket",
    provider: "openai",
    endpoint: "/v1/responses",
    requested_model: "gpt-5.1",
    model: "gpt-5.1-2025-11-13",
    requested_service_tier: null,
    decided_service_tier: null,
    service_tier: "default",
    status: "completed",
    error_code: null,
    http_status: 101,
    response_id: `resp_${number}`,
    upstream_request_id: null,
    input_tokens: 10,
    cached_input_tokens: 4,
    cache_creation_input_tokens: null,
    output_tokens: 5,
    reasoning_tokens: 0,
    audio_input_tokens: null,
    audio_output_tokens: null,
    audio_seconds: null,
    web_search_requests: null,
    usage_source: "upstream",
    details: {},
    cost_micros: null,
    first_token_ms: 120,
    duration_ms: 900,
    frames_up: 1,
    frames_down: 20,
    bytes_up: 200,
    bytes_down: 5000,
    ...change,
  };
}
