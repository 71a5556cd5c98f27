/**
 * What the first message of a session says of whom it is for.
 *
 * Owns: where model and previous response stand in it. Does not own: the choice.
 * Invariant: a message that two upstreams could read in two ways is refused.
 */

import type { Message } from "../exchange.ts";
import { bareModel } from "./model_field.ts";
import type { MeterDialect } from "./provider.ts";
import { ambiguousJson, clientEvent } from "./wire_text.ts";

interface FirstMessage {
  /** As the client names it; null: it names none. */
  readonly model: string | null;
  /** The response that it goes on from; null: none. */
  readonly previousResponseId: string | null;
}

const RESPONSES_KEYS = ["type", "model", "previous_response_id"];

/**
 * @param dialect of a session whose upstream speaks only when it was spoken to
 * @throws GatewayError `invalid_json`, `ambiguous_json`
 */
export function readFirstMessage(dialect: MeterDialect, message: Message): FirstMessage {
  if (dialect === "gemini_live") return { model: setupModel(message), previousResponseId: null };
  const event = clientEvent(message, RESPONSES_KEYS);
  return {
    model: event.string("model"),
    previousResponseId: event.string("previous_response_id"),
  };
}

function setupModel(message: Message): string | null {
  const setup = clientEvent(message, ["setup"]).object("setup", ["model"]);
  if (setup?.duplicate) throw ambiguousJson("setup.model");
  const model = setup?.string("model") ?? null;
  return model === null ? null : bareModel(model);
}

/** What a client is told that sends nothing. */
export function missingFirstMessage(dialect: MeterDialect): string {
  return `missing first ${dialect === "gemini_live" ? "setup" : "response.create"} message`;
}
