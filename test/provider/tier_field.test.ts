import { describe, expect, test } from "bun:test";
import { GatewayError } from "../../src/errors.ts";
import { messageReaderOf } from "../../src/provider/dialect.ts";
import type { MeterDialect } from "../../src/provider/provider.ts";
import type { TierCarrier } from "../../src/provider/tier_field.ts";
import {
  FAST_TIER,
  modelsFor,
  readTiers,
  startsNothing,
  writeTier,
} from "../../src/provider/tier_field.ts";

const utf8 = new TextEncoder();

type Row = readonly [MeterDialect, TierCarrier, string];

function refusal(run: () => unknown): GatewayError {
  try {
    run();
  } catch (error) {
    if (error instanceof GatewayError) return error;
  }
  throw new Error("It was not refused");
}

function asks(...[dialect, carrier, text]: Row): Record<string, string> {
  const read = readTiers(dialect, carrier, text).asks;
  return Object.fromEntries(read.map(({ field, tier }) => [field, tier]));
}

describe("readTiers()", () => {
  const places: readonly (readonly [...Row, Record<string, string>])[] = [
    ["openai_chat", "body", '{"service_tier":" Fast "}', { service_tier: " Fast " }],
    ["none", "body", '{"service_tier":"flex"}', { service_tier: "flex" }],
    ["openai_chat", "body", '{"serviceTier":"flex"}', { serviceTier: "flex" }],
    ["openai_chat", "body", '{"serviceTier":3,"service_tier2":"x"}', {}],
    ["openai_responses", "body", '{"s\\u0065rvice_tier":"flex"}', { service_tier: "flex" }],
    ["openai_responses", "body", '{"metadata":{"service_tier":"flex","Model":1}}', {}],
    ["openai_responses", "body", '{"response":{"service_tier":"flex"}}', {}],
    [
      "openai_responses",
      "message",
      '{"input":"x","service_tier":"fast","type":"response.create"}',
      { service_tier: "fast" },
    ],
    [
      "openai_responses",
      "message",
      '{"type":"response.create","metadata":{"service_tier":"a"},"input":[{"service_tier":"a"}]}',
      {},
    ],
    [
      "openai_realtime",
      "message",
      '{"type":"response.create","response":{"service_tier":"fast"}}',
      { "response.service_tier": "fast" },
    ],
    [
      "openai_realtime",
      "message",
      '{"type":"session.update","session":{"service_tier":"fast"},"service_tier":"flex"}',
      { service_tier: "flex", "session.service_tier": "fast" },
    ],
    [
      "openai_realtime",
      "body",
      '{"session":{"service_tier":"fast"},"service_tier":"flex"}',
      { service_tier: "flex", "session.service_tier": "fast" },
    ],
    [
      "openai_realtime",
      "body",
      '{"type":"response.cancel","session":{"service_tier":"fast"}}',
      { "session.service_tier": "fast" },
    ],
    ["anthropic_messages", "body", '{"speed":"fast"}', { speed: "fast" }],
    ["anthropic_messages", "body", '{"speed":"standard"}', {}],
    ["anthropic_messages", "body", '{"speed":"Turbo"}', { speed: "Turbo" }],
    [
      "anthropic_messages",
      "body",
      '{"speed":"fast","service_tier":"auto"}',
      { service_tier: "auto", speed: "fast" },
    ],
    ["gemini_generate", "body", '{"serviceTier":"flex"}', { serviceTier: "flex" }],
    ["gemini_generate", "body", '{"service_tier":"flex"}', { service_tier: "flex" }],
    [
      "gemini_generate",
      "body",
      '{"generation_config":{"serviceTier":"flex"}}',
      { "generation_config.serviceTier": "flex" },
    ],
    [
      "gemini_live",
      "message",
      '{"setup":{"generationConfig":{"service_tier":"flex"},"serviceTier":"priority"}}',
      { "setup.serviceTier": "priority", "setup.generationConfig.service_tier": "flex" },
    ],
    [
      "gemini_live",
      "message",
      '{"type":"response.cancel","serviceTier":"a"}',
      { serviceTier: "a" },
    ],
  ];

  test.each(places)("finds what %s asks for in a %s: %s", (dialect, carrier, text, expected) => {
    expect(asks(dialect, carrier, text)).toEqual(expected);
    const binary = readTiers(dialect, carrier, utf8.encode(text));
    expect(binary).toEqual(readTiers(dialect, carrier, text));
  });

  test.each(["1", "null", "{}", "[]", "true", '["fast"]', '{"a":"fast"}'])(
    "reads no tier where the value is %s",
    (value) => {
      expect(asks("openai_chat", "body", `{"service_tier":${value}}`)).toEqual({});
      expect(asks("anthropic_messages", "body", `{"speed":${value}}`)).toEqual({});
    },
  );

  test.each(["response.create", "response.append", "response.steer", "", " response.cancel", "x"])(
    "reads the tier of a message of type %p",
    (type) => {
      const message = JSON.stringify({ type, service_tier: "fast" });
      expect(asks("openai_responses", "message", message)).toEqual({ service_tier: "fast" });
    },
  );

  test.each([
    [
      '{"type":"session.update","session":{"audio":{"input":{"transcription":{"model":"t"}}}}}',
      ["t"],
    ],
    ['{"session":{"input_audio_transcription":{"model":"t"}},"type":"session.update"}', ["t"]],
    [
      '{"type":"transcription_session.update",' +
        '"session":{"input_audio_transcription":{"model":"t"}}}',
      ["t"],
    ],
    [
      '{"session":{"audio":{"input":{"transcription":{"model":"a"}}},' +
        '"input_audio_transcription":{"m\\u006fdel":"b"}}}',
      ["a", "b"],
    ],
    ['{"type":"session.update","session":{"model":"m","audio":{"input":{"model":"x"}}}}', []],
    ['{"type":"session.update","session":{"audio":{"input":{"transcription":null}}}}', []],
    ['{"type":"response.create","response":{"audio":{"input":{}}}}', []],
  ])("finds the models to transcribe with in %s", (text, expected) => {
    expect(readTiers("openai_realtime", "message", text).transcriptionModels).toEqual(expected);
  });

  test.each([
    ["openai_responses", '{"prompt":{"id":"p"}}', true],
    ["openai_responses", '{"\\u0070rompt":"p"}', true],
    ["openai_responses", '{"prompt":null}', false],
    ["openai_responses", '{"prompt":{"id":"p"},"model":"m"}', false],
    ["openai_realtime", '{"prompt":{"id":"p"}}', false],
  ] as const)("says of %s whether in %s a prompt names the model: %p", (dialect, text, is) => {
    const asking = `${text.slice(0, -1)},"service_tier":"fast"}`;
    expect(readTiers(dialect, "message", asking).isModelOpen).toBe(is);
  });

  test("refuses a model to transcribe with that stands there twice", () => {
    const text = '{"session":{"audio":{"input":{"transcription":{"model":"a","model":"b"}}}}}';
    const error = refusal(() => readTiers("openai_realtime", "message", text));
    expect([error.code, error.param]).toEqual([
      "ambiguous_json",
      "session.audio.input.transcription.model",
    ]);
  });

  test("reads the tier of a message without a type", () => {
    expect(asks("openai_responses", "message", '{"service_tier":"a"}')).toEqual({
      service_tier: "a",
    });
  });

  test.each(["response.cancel", "response.processed"])(
    "reads none in %s, and does in a body that pretends to be one",
    (type) => {
      const text = JSON.stringify({ type, service_tier: "fast" });
      expect(asks("openai_responses", "message", text)).toEqual({});
      expect(asks("openai_responses", "body", text)).toEqual({ service_tier: "fast" });
    },
  );

  const refused: readonly (readonly [...Row, string, string])[] = [
    [
      "openai_chat",
      "body",
      '{"service_tier":"a","service_tie\\u0072":1}',
      "ambiguous_json",
      "service_tier",
    ],
    ["openai_chat", "body", '{"model":"a","model":"a"}', "ambiguous_json", "model"],
    ["openai_responses", "message", '{"type":"a","\\u0074ype":"b"}', "ambiguous_json", "type"],
    ["openai_chat", "body", '{"Service_Tier":"fast"}', "ambiguous_json", "service_tier"],
    ["openai_responses", "message", '{"type":"x","MODEL":"a"}', "ambiguous_json", "model"],
    [
      "openai_realtime",
      "message",
      '{"Session":{"service_tier":"fast"}}',
      "ambiguous_json",
      "session",
    ],
    [
      "gemini_live",
      "message",
      '{"setup":{"servicetier":"fast"}}',
      "ambiguous_json",
      "setup.serviceTier",
    ],
    ["anthropic_messages", "body", '{"\\u017fpeed":"fast"}', "ambiguous_json", "speed"],
    ["openai_responses", "message", '{"session":1,"session":{}}', "ambiguous_json", "session"],
    ["openai_responses", "message", '{"response":{},"response":{}}', "ambiguous_json", "response"],
    [
      "openai_realtime",
      "message",
      '{"session":{"model":"a","model":"b"}}',
      "ambiguous_json",
      "session.model",
    ],
    [
      "openai_realtime",
      "message",
      '{"response":{"service_tier":"a","service_tier":"b"}}',
      "ambiguous_json",
      "response.service_tier",
    ],
    [
      "anthropic_messages",
      "body",
      '{"speed":"fast","speed":"standard"}',
      "ambiguous_json",
      "speed",
    ],
    [
      "gemini_generate",
      "body",
      '{"serviceTier":"a","service_tier":null}',
      "ambiguous_json",
      "service_tier",
    ],
    [
      "gemini_live",
      "message",
      '{"setup":{"generationConfig":{},"generation_config":{}}}',
      "ambiguous_json",
      "setup.generation_config",
    ],
    ["gemini_generate", "body", '{"serviceTier":3}', "param_not_allowed", "serviceTier"],
    ["gemini_generate", "body", '{"service_tier":" 3"}', "param_not_allowed", "service_tier"],
    [
      "gemini_live",
      "message",
      '{"setup":{"serviceTier":-0}}',
      "param_not_allowed",
      "setup.serviceTier",
    ],
  ];

  test.each(refused)("refuses what %s could read in two ways in a %s: %s", (...row) => {
    const [dialect, carrier, text, code, param] = row;
    const error = refusal(() => readTiers(dialect, carrier, text));
    expect([error.code, error.param]).toEqual([code as typeof error.code, param]);
  });

  test("leaves keys alone that stand twice and decide nothing", () => {
    const text = '{"input":1,"input":2,"metadata":{"model":1,"model":2},"service_tier":"flex"}';
    expect(asks("openai_responses", "message", text)).toEqual({ service_tier: "flex" });
  });

  test.each(["", "[]", '"a"', '{"model":"a"', '{"a":1} x', '\ufeff{"a":1}', "{'a':1}"])(
    "refuses %p as invalid_json",
    (text) => {
      expect(refusal(() => readTiers("openai_chat", "body", text)).code).toBe("invalid_json");
    },
  );

  test("refuses bytes that are not UTF-8 as invalid_json", () => {
    const bytes = Uint8Array.of(...utf8.encode('{"model":"'), 0xff, ...utf8.encode('"}'));
    expect(refusal(() => readTiers("openai_chat", "body", bytes)).code).toBe("invalid_json");
  });

  const models: readonly (readonly [...Row, string | null, string | null])[] = [
    ["openai_chat", "body", '{"model":"gpt-é"}', "gpt-é", null],
    ["openai_chat", "body", '{"model":""}', null, null],
    ["openai_chat", "body", '{"model":1}', null, null],
    ["openai_responses", "message", '{"type":"response.create","model":"a"}', "a", null],
    ["openai_responses", "message", '{"type":"session.update","session":{"model":"b"}}', null, "b"],
    ["openai_responses", "message", '{"type":"session.update","session":{"model":""}}', null, null],
    [
      "openai_responses",
      "message",
      '{"type":"session.created","session":{"model":"b"}}',
      null,
      null,
    ],
    [
      "openai_responses",
      "message",
      '{"type":"response.create","session":{"model":"b"},"response":{"model":"c"}}',
      null,
      null,
    ],
    ["openai_realtime", "message", '{"type":"response.create","model":"a"}', null, null],
    ["openai_realtime", "message", '{"type":"session.update","session":{"model":"b"}}', null, "b"],
    ["gemini_generate", "body", '{"model":"models/a"}', null, null],
    ["gemini_live", "message", '{"setup":{"model":"models/a"},"model":"b"}', "a", null],
  ];

  test.each(models)("knows the model of %s in a %s: %s", (...row) => {
    const [dialect, carrier, text, model, sessionModel] = row;
    expect(readTiers(dialect, carrier, text)).toMatchObject({ model, sessionModel });
  });

  const ESCAPED_CREATE = [..."response.create"]
    .map((char) => `\\u00${char.charCodeAt(0).toString(16)}`)
    .join("");
  const NOTHING = {
    model: null,
    responseModel: null,
    isModelOpen: false,
    sessionModel: null,
    transcriptionModels: [],
    asks: [],
  };
  const quiet: readonly (readonly [MeterDialect, string])[] = [
    ["openai_realtime", '{"type":"input_audio_buffer.append","audio":"AAAA"}'],
    ["openai_realtime", '{ "audio": "AAAA", "type": "input_audio_buffer.append" }'],
    ["openai_realtime", String.raw`{"type":"x","text":"he said \"go\"\n"}`],
    ["openai_responses", '{"event_id":"event_1","type":"response.cancel"}'],
    ["openai_responses", '{"item":{"a":[1,-2.5e3,true,false,null]}}'],
    ["gemini_live", '{"realtimeInput":{"text":"hello"}}'],
  ];

  test.each(quiet)("reads nothing in a message of %s that names nothing: %s", (dialect, text) => {
    for (const message of [text, utf8.encode(text)]) {
      expect(readTiers(dialect, "message", message)).toEqual({ ...NOTHING, isQuiet: true });
      const reader = messageReaderOf(dialect);
      expect(reader?.clientSignal(message) ?? null).toBe(reader?.quietSignal ?? null);
    }
  });

  test.each([
    ["openai_realtime", '{"type":"response.create"}'],
    ["openai_realtime", `{"type"${" ".repeat(30)}:${" ".repeat(30)}"response.create"}`],
    ["openai_responses", '{"event_id":"e","type" :\n"response.create"}'],
    ["openai_responses", '{"a":"type"}'],
    ["openai_responses", `{"type":"${ESCAPED_CREATE}"}`],
    ["openai_realtime", `{"type":"${ESCAPED_CREATE}","event_id":"e"}`],
    ["gemini_live", '{"clientContent":{"turnComplete":true}}'],
    ["gemini_live", '{"client_content":{"turnComplete":true}}'],
  ] as const)("is not quiet about what %s takes for a turn: %s", (dialect, text) => {
    for (const message of [text, utf8.encode(text)]) {
      expect(readTiers(dialect, "message", message)).toEqual({ ...NOTHING, isQuiet: false });
    }
  });

  test.each(quiet)("refuses what is cut of %s, %s, or lets its reader do it", (...row) => {
    const [dialect, text] = row;
    for (const message of [text.slice(0, -2), utf8.encode(text.slice(0, -2))]) {
      const error = refusal(() => {
        expect(readTiers(dialect, "message", message).isQuiet).toBe(false);
        messageReaderOf(dialect)?.clientSignal(message);
      });
      expect(error.code).toBe("invalid_json");
    }
  });

  test.each(["none", "openai_chat", "anthropic_messages", "gemini_generate"] as const)(
    "refuses what is cut of %s itself, since no reader will",
    (dialect) => {
      expect(refusal(() => readTiers(dialect, "message", '{"a":"b"')).code).toBe("invalid_json");
    },
  );

  test("reads everything in what only begins like audio", () => {
    const first = '{"type":"input_audio_buffer.append","audio":"AAAA';
    const more = `${first}","service_tier":"fast"}`;
    expect(asks("openai_realtime", "message", more)).toEqual({ service_tier: "fast" });
    const escaped = `${first}","service_tie\\u0072":"fast"}`;
    expect(asks("openai_realtime", "message", escaped)).toEqual({ service_tier: "fast" });
    const twice = refusal(() => {
      readTiers("openai_realtime", "message", `${first}","type":"response.create"}`);
    });
    expect(twice.code).toBe("ambiguous_json");
  });
});

/** The message after `writeTier`, which says the same of text and of binary. */
function written(row: Row, field: string, tier: string | null): string {
  const [dialect, carrier, text] = row;
  const { message } = writeTier(dialect, carrier, text, field, tier);
  const binary = writeTier(dialect, carrier, utf8.encode(text), field, tier).message;
  if (typeof message !== "string" || typeof binary === "string") throw new Error("Another kind");
  expect(new TextDecoder("utf-8", { ignoreBOM: true }).decode(binary)).toBe(message);
  return message;
}

describe("startsNothing()", () => {
  test.each(["session.update", "response.cancel", "conversation.item.create"])(
    "is true of %s, however it is written",
    (type) => {
      const text = JSON.stringify({ item: {}, type });
      const escaped = text.replace('"type"', String.raw`"\u0074ype"`);
      for (const message of [text, escaped, new TextEncoder().encode(text)]) {
        expect(startsNothing("openai_realtime", message)).toBe(true);
      }
    },
  );

  test.each(["input_audio_buffer.append", "response.create", "response.steer", "new", ""])(
    "is false of %p",
    (type) => {
      expect(startsNothing("openai_realtime", JSON.stringify({ type }))).toBe(false);
    },
  );

  test("is false of all that Gemini Live hears, and of what has no type", () => {
    expect(startsNothing("gemini_live", '{"type":"session.update"}')).toBe(false);
    expect(startsNothing("openai_responses", "{}")).toBe(false);
    expect(startsNothing("openai_responses", "no JSON")).toBe(false);
  });
});

describe("writeTier()", () => {
  const chat = (text: string) => ["openai_chat", "body", text] as const;

  test.each([
    ['{"é":1.0e2, "service_tier" : "fast" ,"x":"\\u00e9"}', '{"é":1.0e2, "x":"\\u00e9"}'],
    ['{"service_tier":"fast"}', "{}"],
    ['{ "a":1 , "service_tier":"fast" }', '{ "a":1  }'],
    [
      '{"\\u0073ervice_tier":"fast","a":[1,{"service_tier":"fast"}]}',
      '{"a":[1,{"service_tier":"fast"}]}',
    ],
    ['{"service_tier":5}', '{"service_tier":5}'],
    ['{"a":1}', '{"a":1}'],
  ])("takes the field out of %s with its comma", (before, after) => {
    expect(written(chat(before), "service_tier", null)).toBe(after);
  });

  test.each([
    [
      '{"é":1, "service_tier" : "f\\u0061st" ,"é":0.10}',
      '{"é":1, "service_tier" : "priority" ,"é":0.10}',
    ],
    ['{"s\\u0065rvice_tier":" Fast "}', '{"s\\u0065rvice_tier":"priority"}'],
    ['{"service_tier":"prior\\u0069ty"}', '{"service_tier":"prior\\u0069ty"}'],
  ])("puts the tier in its place in %s", (before, after) => {
    expect(written(chat(before), "service_tier", "priority")).toBe(after);
  });

  test("gives back the very message where nothing has to change", () => {
    const bytes = utf8.encode('{"service_tier":"flex"}');
    expect(writeTier("openai_chat", "body", bytes, "service_tier", "flex").message).toBe(bytes);
  });

  test("edits the field that is meant where a message has two", () => {
    const text = '{"speed":"fast","service_tier":"auto"}';
    const row = ["anthropic_messages", "body", text] as const;
    expect(written(row, "speed", null)).toBe('{"service_tier":"auto"}');
    expect(written(row, "service_tier", null)).toBe('{"speed":"fast"}');
  });

  test("edits a nested field", () => {
    const text = '{"type":"response.create", "response": { "service_tier": "fast", "a": 1 } }';
    expect(written(["openai_realtime", "message", text], "response.service_tier", "flex")).toBe(
      '{"type":"response.create", "response": { "service_tier": "flex", "a": 1 } }',
    );
  });

  test.each([
    ["fast", FAST_TIER, '{"speed":"fast"}', FAST_TIER],
    [" Fast", FAST_TIER, '{"speed":"fast"}', FAST_TIER],
    ["fast", "flex", "{}", null],
    ["fast", null, "{}", null],
    ["turbo", "turbo", '{"speed":"turbo"}', "turbo"],
  ])("says in speed %p what of %p can be said there", (speed, tier, after, sent) => {
    const text = JSON.stringify({ speed });
    const result = writeTier("anthropic_messages", "body", text, "speed", tier);
    expect(result).toEqual({ message: after, tier: sent });
  });
});

describe("modelsFor()", () => {
  test.each([
    ['{"service_tier":"fast"}', ["held", null]],
    ['{"model":"own","service_tier":"fast"}', ["own", null]],
    ['{"model":"own","session":{"service_tier":"fast"}}', ["held", "own", null]],
    ['{"response":{"model":"inner","service_tier":"fast"}}', ["held", null, "inner"]],
    ['{"model":"own","response":{"model":"inner","service_tier":"fast"}}', ["own", "inner"]],
    ['{"prompt":{"id":"p"},"service_tier":"fast"}', [null]],
  ])("has for the tier in %s the models %j", (text, models) => {
    const reading = readTiers("openai_responses", "message", text);
    const [ask] = reading.asks;
    if (ask === undefined) throw new Error("It asks for none");
    expect(new Set(modelsFor(ask, reading, ["held"]))).toEqual(new Set(models));
  });
});
