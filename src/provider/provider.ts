/**
 * What differs between upstreams: endpoints, where a credential goes, and how their events read.
 *
 * Owns: the interface. One file a protocol family implements it.
 * Does not own: relaying, or turns; a provider translates wire events into signals and keeps no
 * state across exchanges.
 * Invariant: wire names appear in this folder only.
 */

import type { Message, ProviderType, TurnKind, TurnStatus, Usage } from "../exchange.ts";

/** A place of a provider's API that we relay. */
export interface Endpoint {
  /** Path pattern without values, as `/v1/responses/{id}`: the metric label and usage field. */
  readonly name: string;
  /** Whether an exchange here makes a usage event. */
  readonly billing: boolean;
  readonly kind: TurnKind;
  /** Whether a WebSocket upgrade is relayed here; `only`: nothing else is, so its lack is a 426. */
  readonly websocket: "never" | "also" | "only";
  /** What the request body is where it is inspected; `opaque` bodies stream through. */
  readonly requestBody: "json" | "multipart" | "opaque";
  /** Which reader understands its answers and messages. */
  readonly dialect: MeterDialect;
  /** Where a body here has requests, of which each is judged by itself; null: it is a request. */
  readonly batch: BatchFormat | null;
  /** Whether what is done here is used elsewhere later, where nobody meters or limits it. */
  readonly escapesLimits: boolean;
  /**
   * What it has to do with the keys that a provider makes for browsers: its answer gives one, or
   * one of them opens it; null: nothing.
   */
  readonly clientSecret: "given" | "taken" | null;
}

/** How a body carries requests; `file`: it names a file that was uploaded with them. */
export type BatchFormat = "anthropic" | "gemini" | "file";

/** The closed set of message formats that a meter can read. `none` reads nothing. */
export type MeterDialect =
  | "none"
  | "openai_responses"
  | "openai_chat"
  | "openai_completions"
  | "openai_embeddings"
  | "openai_audio"
  | "openai_images"
  | "openai_moderations"
  | "openai_realtime"
  | "anthropic_messages"
  | "gemini_generate"
  | "gemini_live";

/** What the client asked for, verbatim. Null: it did not say. */
export interface RequestedTurn {
  readonly model: string | null;
  readonly serviceTier: string | null;
  readonly stream: boolean;
  /** Present where a session is to be made whose input is transcribed by a model of its own. */
  readonly transcriptionModel?: string;
  /** The most output tokens that it wants; null: no limit, or none that can be relied on. */
  readonly outputTokensMax: number | null;
  /** Anthropic only: how fast to answer, where `fast` is a service tier by another name. */
  readonly speed: string | null;
  /** Chat only: the client itself asked for the usage chunk. */
  readonly includeUsage: boolean;
  /** Responses only: the answer comes later, by GET. */
  readonly background: boolean;
  /** Responses only: the response that this one goes on from. */
  readonly previousResponseId: string | null;
  /** A field above that the body names twice, for the policy to refuse; null: none. */
  readonly duplicate: string | null;
}

/** What an event says of the turns, in our words. Fields that the event does not carry are null. */
export type TurnSignal =
  | RequestedSignal
  | OtherSignal
  | StartedSignal
  | OutputSignal
  | ProgressSignal
  | EndedSignal
  | RefusedSignal
  | SessionSignal;

/** A client message that asks for a turn. */
export interface RequestedSignal {
  readonly signal: "requested";
  readonly lane: string | null;
  readonly model: string | null;
  /** Whether, where it names no model, it is not for the session's, but for a prompt's. */
  readonly isModelOpen?: boolean;
  readonly serviceTier: string | null;
  /** The most output tokens that it wants; null: no limit, or none that can be relied on. */
  readonly outputTokensMax: number | null;
  readonly warmup: boolean;
}

/** A client message that asks for no turn. The upstream may still answer it with an error. */
export interface OtherSignal {
  readonly signal: "other";
}

/**
 * The upstream began a turn. `key` is the response id, or the item id of a transcription, or, where
 * the format has neither (`MessageReader.namesTurns`), whatever tells it from the session's others.
 */
export interface StartedSignal {
  readonly signal: "started";
  readonly key: string;
  readonly kind: TurnKind;
  readonly lane: string | null;
  readonly model: string | null;
  readonly serviceTier: string | null;
  readonly background: boolean;
  /** Present where the client named it for all turns of the session. */
  readonly requestedModel?: string | null;
  /** Present where the event is the turn's first output too. */
  readonly isOutput?: true;
}

/** Output of some turn. Which one, `MessageReader.outputOf` says where it has to be known. */
export interface OutputSignal {
  readonly signal: "output";
}

/** More about the one turn of an HTTP exchange, before its end. */
export interface ProgressSignal {
  readonly signal: "progress";
  readonly key: string | null;
  readonly model: string | null;
  readonly serviceTier: string | null;
  readonly usage: UsageReading;
  /** Whether the event is output too. */
  readonly output: boolean;
}

export interface EndedSignal {
  readonly signal: "ended";
  readonly key: string | null;
  readonly kind: TurnKind;
  readonly lane: string | null;
  /** The event's name on the wire, for the log. */
  readonly terminal: string;
  readonly status: TurnStatus;
  readonly model: string | null;
  readonly serviceTier: string | null;
  readonly errorCode: string | null;
  readonly usage: UsageReading;
  /** The upstream goes on in this lane with a response that nobody asked for (`response.steer`). */
  readonly continues: boolean;
}

/** An error event. What it ends is the turn table's decision. */
export interface RefusedSignal {
  readonly signal: "refused";
  /** `request`: it answers a client message; `response`: what runs already may have broken off. */
  readonly about: "request" | "response";
  readonly lane: string | null;
  /** False: it can only be about a request that is not answered yet, in whatever lane. */
  readonly laneKnown: boolean;
  readonly terminal: string;
  readonly errorCode: string | null;
  readonly httpStatus: number | null;
}

/** What the session as a whole is set to. */
export interface SessionSignal {
  readonly signal: "session";
  /** Null: the event leaves it as it is. */
  readonly model: string | null;
  /** Null: input is not transcribed. Absent: the event leaves it as it is. */
  readonly transcriptionModel?: string | null;
}

/** Usage is all or nothing per event: `malformed` is counted and recorded as unknown. */
export type UsageReading =
  | { readonly reading: "usage"; readonly usage: Usage }
  | { readonly reading: "absent" }
  | { readonly reading: "none_billed" }
  | { readonly reading: "malformed" };

/** Reads the messages of one session, or the events of one SSE stream, in order. */
export interface MessageReader {
  /**
   * When a turn begins: with the client's request, which the upstream then answers or refuses, or
   * only with the upstream's own event, an error being about no turn.
   */
  readonly turnsBegin: "at_request" | "at_answer";
  /** Absent: the upstream does. `reader`: the keys are made up here and mean nothing to anyone. */
  readonly namesTurns?: "reader";
  /**
   * What a client message means for the turns; null: nothing.
   * @throws GatewayError `invalid_json` or `ambiguous_json`: the message must not be forwarded
   */
  clientSignal(message: Message): TurnSignal | null;
  /** What a client message means that was found to be quiet; absent: nothing. */
  readonly quietSignal?: TurnSignal;
  /** What an upstream message means for the turns; null: nothing. */
  upstreamSignal(message: Message): TurnSignal | null;
  /** Whose output a message is that reads as an `OutputSignal`. */
  outputOf(message: Message): OutputOwner;
  /**
   * What it means that the SSE stream is over. Absent: there is a terminal event, and a stream
   * without it broke off. Null: it broke off.
   */
  streamEnded?(): EndedSignal | null;
}

export interface OutputOwner {
  /** Response id or item id; null: not named. */
  readonly key: string | null;
  readonly lane: string | null;
}

/** Reads an answer that is one JSON object. */
export interface JsonBodyReader {
  /** The fields at the top level that it looks at; the others may be left out of the text. */
  readonly keys: readonly string[];
  /** Null: it says nothing of the turn. */
  read(text: string): EndedSignal | null;
}

/** A protocol family. */
export interface Provider {
  readonly type: ProviderType;
  /** The endpoint of a request, or null where there is none. `path` has no prefix and no query. */
  endpoint(method: string, path: string): Endpoint | null;
  /** Whether there is an endpoint of whatever method. */
  has(path: string): boolean;
  /** Whether there is one at or below an entry of `allowed_endpoints`; `*` is any one segment. */
  reaches(entry: string): boolean;
  /**
   * Headers that carry a credential upstream. `anthropic-beta` is a list: what it needs is added to
   * the client's own.
   * @param style how the client sent its own token, where the upstream accepts several ways
   * @param kind as configured; a key that shows what it is, is that
   * @param path of the request, without prefix and query
   */
  credentialHeaders(
    key: string,
    style: CredentialStyle,
    kind: CredentialKind,
    path: string,
  ): readonly (readonly [string, string])[];
  /** Whether an upstream's refusal says that the credential we injected is wrong. */
  refusesCredential(status: number, body: string): boolean;
  /** Name of the response header with the upstream's own id of the request. */
  readonly requestIdHeader: string | null;
  /** Name of the response header with the service tier that was served; null: it is in the body. */
  readonly serviceTierHeader: string | null;
}

/** What the upstream's credential is. */
export type CredentialKind = "api_key" | "oauth";

/** Where a client put its token. */
export type CredentialStyle =
  | "authorization"
  | "x_api_key"
  | "api_key"
  | "x_goog_api_key"
  | "query_key"
  | "subprotocol"
  | "proxy_authorization"
  | "x_sluice_token";
