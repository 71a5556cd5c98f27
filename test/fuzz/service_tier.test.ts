/**
 * The sniffed decision against that of a full parse, on seeded requests and messages of every
 * protocol in every spelling, some of them damaged.
 *
 * SLUICE_FUZZ_ROUNDS=1000000 runs it for longer.
 */

import { expect, test } from "bun:test";
import { GatewayError } from "../../src/errors.ts";
import type { Message } from "../../src/exchange.ts";
import { decideServiceTier } from "../../src/policy/service_tier.ts";
import { parseServiceTierPolicy } from "../../src/policy/service_tier_policy.ts";
import type { ServiceTierPolicy } from "../../src/policy/service_tier_policy.ts";
import { messageReaderOf } from "../../src/provider/dialect.ts";
import type { MeterDialect } from "../../src/provider/provider.ts";
import { readTiers, writeTier } from "../../src/provider/tier_field.ts";
import type { TierCarrier } from "../../src/provider/tier_field.ts";
import { Prng } from "../support/prng.ts";

const ROUNDS = Number(process.env["SLUICE_FUZZ_ROUNDS"] ?? 20_000);
const TIMEOUT_MS = 30_000 + ROUNDS;

/** A protocol as the oracle knows it: the keys that count, by the path of their object. */
interface Protocol {
  readonly dialect: MeterDialect;
  readonly carrier: TierCarrier;
  readonly tiers: Readonly<Record<string, readonly string[]>>;
  readonly model: string | null;
}

const SOCKET = { "": ["service_tier"], response: ["service_tier"], session: ["service_tier"] };
const BOTH = ["serviceTier", "service_tier"];
const CONFIGS = ["generationConfig", "generation_config"];
const PROTOCOLS: readonly Protocol[] = [
  { dialect: "openai_chat", carrier: "body", tiers: { "": [...BOTH] }, model: "model" },
  { dialect: "openai_responses", carrier: "body", tiers: { "": [...BOTH] }, model: "model" },
  { dialect: "openai_responses", carrier: "message", tiers: SOCKET, model: "model" },
  { dialect: "openai_realtime", carrier: "message", tiers: SOCKET, model: null },
  {
    dialect: "anthropic_messages",
    carrier: "body",
    tiers: { "": ["service_tier", "speed"] },
    model: "model",
  },
  {
    dialect: "gemini_generate",
    carrier: "body",
    tiers: { "": BOTH, generationConfig: BOTH, generation_config: BOTH },
    model: null,
  },
  {
    dialect: "gemini_live",
    carrier: "message",
    tiers: {
      "": BOTH,
      setup: BOTH,
      "setup.generationConfig": BOTH,
      "setup.generation_config": BOTH,
    },
    model: "setup.model",
  },
];

const KEYS = [
  "type",
  "model",
  "service_tier",
  "serviceTier",
  "speed",
  "session",
  "response",
  "setup",
  ...CONFIGS,
];
const NOISE = [
  "input",
  "metadata",
  "Service_Tier",
  "Type",
  "Service-Tier",
  "Input",
  "service_tier ",
  "ключ",
  '"',
  "\\",
  "\n",
  "",
];
const TYPES = ["response.create", "response.cancel", "session.update", "response.steer", "", "x"];
const TIERS = ["fast", "priority", "flex", "auto", "ultrafast", "standard", "turbo", "é", ""];
const MODELS = ["gpt-5.5", "gpt-5.5-mini", "o3", "модель", "", "models/gpt-5.5"];
/** Longer than any key, though each of its characters were an escape. */
const LONG = "A".repeat(110);
const LONGS = [LONG, `${LONG}","service_tier":"fast`, `${LONG}\\`, `\n${LONG}`, `${LONG}"`];
const STRINGS = [
  ...LONGS,
  "service_tier",
  '","service_tier":"fast',
  '"',
  "\\",
  "é😀",
  "\u2028",
  "}",
  "{",
];
const RAW = ["0", "-0", "1.50", "1E+2", "9007199254740993", "true", "null", "[]", "{ }", "[1 , 2]"];
const SPACES = ["", "", "", " ", "\n", "\t ", "\r\n"];
const DAMAGE = ["", '"', "\\", "{", "}", ",", ":", "0", "\u0000", "\ufeff"];

const POLICIES = [
  { rules: [{ service_tier: "priority", action: "filter" }] },
  { rules: [{ service_tier: "all", action: "block" }] },
  { rules: [], unknown_tier: "filter" },
  { rules: [{ service_tier: "all", action: "force", force_tier: "flex" }] },
  { rules: [{ service_tier: "flex", action: "force", force_tier: "priority" }] },
  { rules: [{ service_tier: "all", action: "filter", model_whitelist: ["gpt-5.5*"] }] },
  {
    rules: [
      { service_tier: "flex", action: "block", model_whitelist: ["o3"], fallback_action: "filter" },
      { service_tier: "all", action: "pass" },
    ],
    unknown_tier: "block",
  },
].map(parseServiceTierPolicy);

/** One field as it was written. `next` is where the key behind it begins, null for the last. */
interface Entry {
  readonly path: string;
  readonly key: string;
  readonly keyStart: number;
  readonly start: number;
  readonly end: number;
  next: number | null;
  /** Where the field before it ended, white space included; null for the first. */
  readonly previousEnd: number | null;
}

/** Writes a random object, and remembers where each of its fields is. */
class Writer {
  readonly entries: Entry[] = [];
  readonly #prng: Prng;
  /** What counts in some object of the protocol. */
  readonly #keys: readonly string[];
  /** No escape in what is short, and few keys that count: mostly judged without a scan. */
  readonly #isPlain: boolean;
  text = "";

  constructor(prng: Prng, { tiers }: Protocol) {
    this.#prng = prng;
    const places = Object.entries(tiers);
    const keys = places.flatMap(([path, names]) => [...path.split("."), ...names]);
    this.#keys = ["type", "model", ...keys.filter((key) => key !== "")];
    this.#isPlain = prng.int(0, 2) === 0;
  }

  object(path: string, depth: number): void {
    const count = this.#prng.int(0, 6);
    let last: Entry | null = null;
    this.text += "{";
    this.#gap();
    for (let index = 0; index < count; index++) {
      const previousEnd = last === null ? null : this.text.length;
      if (last !== null) this.text += ",";
      this.#gap();
      const keyStart = this.text.length;
      if (last !== null) last.next = keyStart;
      last = this.#field(path, depth, keyStart, previousEnd);
      this.#gap();
    }
    this.text += "}";
  }

  #field(path: string, depth: number, keyStart: number, previousEnd: number | null): Entry {
    const kind = this.#prng.int(0, 9);
    const [noise, known] = this.#isPlain ? [8, 9] : [3, 6];
    const key = this.#pick(kind < noise ? NOISE : kind < known ? KEYS : this.#keys);
    this.#quoted(key);
    this.#gap();
    this.text += ":";
    this.#gap();
    const start = this.text.length;
    this.#value(joined(path, key === "" ? "(empty)" : key), key, depth);
    const end = this.text.length;
    const entry = { path, key, keyStart, start, end, next: null, previousEnd };
    this.entries.push(entry);
    return entry;
  }

  #value(path: string, key: string, depth: number): void {
    const prng = this.#prng;
    if (prng.int(0, 9) === 0) this.text += prng.pick(RAW);
    else if (key === "type") this.#quoted(prng.pick(TYPES));
    else if (key === "model") this.#quoted(prng.pick(MODELS));
    else if (/tier|speed/i.test(key)) this.#quoted(this.#padded(prng.pick(TIERS)));
    else if (depth < 3 && prng.int(0, 5) > 0) this.object(path, depth + 1);
    else this.#quoted(this.#pick(STRINGS));
  }

  #pick(texts: readonly string[]): string {
    if (!this.#isPlain) return this.#prng.pick(texts);
    const isPlain = (text: string) => text.length > LONG.length || !/["\\\n]/.test(text);
    return this.#prng.pick(texts.filter(isPlain));
  }

  #padded(tier: string): string {
    if (this.#prng.int(0, 3) > 0) return tier;
    return this.#prng.pick([` ${tier}`, `${tier}\n`, tier.toUpperCase(), ` 3${tier}`]);
  }

  #quoted(text: string): void {
    this.text += '"';
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      if (!this.#isPlain && this.#prng.int(0, 7) === 0)
        this.text += `\\u${code.toString(16).padStart(4, "0")}`;
      // A pair of surrogates that is escaped by halves is the same character.
      else if (code < 0xd800 || code >= 0xe000)
        this.text += JSON.stringify(text[index]).slice(1, -1);
      else this.text += this.#isPlain ? text[index] : `\\u${code.toString(16)}`;
    }
    this.text += '"';
  }

  #gap(): void {
    this.text += this.#prng.pick(SPACES);
  }
}

/** The value at a path of keys, as a full parse has it. */
function valueAt(value: unknown, path: string): unknown {
  if (path === "") return value;
  return path.split(".").reduce<unknown>((object, key) => {
    if (typeof object !== "object" || object === null || Array.isArray(object)) return undefined;
    // The check above leaves an object; its prototype is not asked.
    return Object.hasOwn(object, key) ? (object as Record<string, unknown>)[key] : undefined;
  }, value);
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The refusals that are due, in no order; with none, what is asked for and for which model. */
interface Truth {
  readonly refusals: ReadonlySet<string>;
  readonly fields: ReadonlyMap<string, string>;
  readonly model: string | null;
}

/** What a full parse makes of it, with the writer's word for keys that stand twice. */
function oracle(protocol: Protocol, value: unknown, entries: readonly Entry[]): Truth {
  const refusals = new Set<string>();
  const fields = new Map<string, string>();
  for (const [path, keys] of Object.entries(protocol.tiers)) {
    const present = entries.filter((entry) => entry.path === path).map(({ key }) => key);
    if (isAmbiguous(protocol, path, keys, present)) refusals.add("ambiguous_json");
    for (const key of keys) {
      const field = joined(path, key);
      const tier = valueAt(value, field);
      if (keys === BOTH && isNumber(tier)) refusals.add("param_not_allowed");
      if (typeof tier !== "string") continue;
      if (key !== "speed" || tier.trim().toLowerCase() !== "standard") fields.set(field, tier);
    }
  }
  const isInert = protocol.tiers === SOCKET && valueAt(value, "type") === "response.cancel";
  if (isInert) fields.clear();
  return { refusals, fields, model: modelOf(protocol, value) };
}

function isNumber(tier: unknown): boolean {
  return typeof tier === "number" || (typeof tier === "string" && /^\s*[-+.\d]/.test(tier));
}

function isAmbiguous(
  protocol: Protocol,
  path: string,
  keys: readonly string[],
  present: readonly string[],
): boolean {
  const children = Object.keys(protocol.tiers).filter((child) => parentOf(child) === path);
  const decisive = [...keys, "model", "type", ...children.map(lastOf)];
  const folded = new Set(decisive.map((key) => key.toLowerCase()));
  const isVariant = (key: string) => !decisive.includes(key) && folded.has(key.toLowerCase());
  if (present.some(isVariant)) return true;
  const found = present.filter((key) => decisive.includes(key));
  if (new Set(found).size < found.length) return true;
  return [BOTH, CONFIGS].some((pair) => pair.every((key) => found.includes(key)));
}

function modelOf(protocol: Protocol, value: unknown): string | null {
  const model = protocol.model === null ? null : valueAt(value, protocol.model);
  if (typeof model !== "string" || model === "") return null;
  return protocol.dialect === "gemini_live" ? model.replace(/^models\//, "") : model;
}

function joined(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

function parentOf(path: string): string | null {
  return path === "" ? null : path.split(".").slice(0, -1).join(".");
}

function lastOf(path: string): string {
  return path.split(".").at(-1) ?? "";
}

/** The outcome of a call: what it returns, or the code of its refusal. */
function attempt<T>(run: () => T): T | string {
  try {
    return run();
  } catch (error) {
    if (error instanceof GatewayError) return error.code;
    throw error;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function textOf(message: Message): string {
  return typeof message === "string" ? message : new TextDecoder().decode(message);
}

/** The text with one field replaced or taken out, by what the writer knows of its place. */
function spliced(text: string, entry: Entry, value: string | null): string {
  if (value !== null) return text.slice(0, entry.start) + value + text.slice(entry.end);
  if (entry.next !== null) return text.slice(0, entry.keyStart) + text.slice(entry.next);
  // The last one takes the comma before it along, and leaves the white space before that comma.
  return text.slice(0, entry.previousEnd ?? entry.keyStart) + text.slice(entry.end);
}

interface Variant {
  readonly protocol: Protocol;
  readonly text: string;
  readonly entries: readonly Entry[];
  readonly binary: boolean;
}

function variant(prng: Prng): Variant {
  const protocol = prng.pick(PROTOCOLS);
  const writer = new Writer(prng, protocol);
  writer.text = prng.pick(SPACES);
  writer.object("", 0);
  const text = writer.text + prng.pick(SPACES);
  const binary = prng.int(0, 1) === 0;
  return { protocol, text, entries: writer.entries, binary };
}

function expectSame(prng: Prng, { protocol, text, entries, binary }: Variant): string {
  const { dialect, carrier } = protocol;
  const message = binary ? new TextEncoder().encode(text) : text;
  const truth = oracle(protocol, JSON.parse(text), entries);
  const sniffed = attempt(() => readTiers(dialect, carrier, message));
  if (typeof sniffed === "string" || truth.refusals.size > 0) {
    if (typeof sniffed === "string" && truth.refusals.has(sniffed)) return sniffed;
    throw new Error(`${JSON.stringify(sniffed)}, not ${[...truth.refusals].join()}: ${text}`);
  }
  if (sniffed.isQuiet) expectQuiet(protocol, message);
  expect(sniffed.model).toBe(truth.model);
  const sniffedFields = sniffed.asks.map(({ field, tier }) => [field, tier] as const);
  expect(new Map(sniffedFields)).toEqual(new Map(truth.fields));
  const policy = prng.pick(POLICIES);
  let outcome = "unchanged";
  for (const { field, tier } of sniffed.asks) {
    const decision = decided(policy, tier, sniffed.model);
    expect(decision).toEqual(decided(policy, truth.fields.get(field) ?? null, truth.model));
    if (decision.action === "block") return "blocked";
    if (expectEdit({ protocol, text, entries, binary }, field, decision.tier)) outcome = "edited";
  }
  const after = applied(protocol, policy, message);
  expect(applied(protocol, policy, after)).toBe(after);
  return outcome;
}

/** What is quiet means nothing to its reader. */
function expectQuiet({ dialect }: Protocol, message: Message): void {
  const reader = messageReaderOf(dialect);
  expect(reader?.clientSignal(message) ?? null).toBe(reader?.quietSignal ?? null);
}

const STRING = /"(?:[^"\\]|\\.)*"/gs;

/** What is quiet and no JSON names nothing that counts to anyone who could read it all the same. */
function expectHarmless({ tiers }: Protocol, text: string): void {
  expect(text.replaceAll(STRING, "")).toMatch(/^[-+{}[\]:, \t\r\n0-9.eEtrufalsn]*$/);
  const inner = Object.keys(tiers).map((path) => path.split(".")[0] ?? "");
  const keys = [...inner, ...(tiers[""] ?? [])];
  const strings = text.match(STRING) ?? [];
  expect(text).not.toMatch(/"type"\s*:\s*"response\.create"/);
  for (const key of [...keys, "model"]) {
    if (key !== "") expect(strings.map(unescaped)).not.toContain(key.toLowerCase());
  }
}

/**
 * As somebody might read it who takes capitals for small letters, and a backslash for nothing where
 * it has no meaning.
 */
function unescaped(string: string): string {
  const characters = /\\(?:u([0-9a-f]{4})|([^bfnrt]))/gis;
  return string
    .slice(1, -1)
    .replace(characters, (_, hex, char) => (hex ? String.fromCharCode(parseInt(hex, 16)) : char))
    .toLowerCase();
}

function decided(policy: ServiceTierPolicy, tier: string | null, model: string | null) {
  const caller = { credentialKind: "api_key", projectId: "p", tokenId: null } as const;
  return decideServiceTier(policy, { tier, model, ...caller });
}

/** The message as it goes upstream: every tier in it decided and written, one after the other. */
function applied({ dialect, carrier }: Protocol, policy: ServiceTierPolicy, message: Message) {
  const { asks, model } = readTiers(dialect, carrier, message);
  return asks.reduce((before, { field, tier }) => {
    const decision = decided(policy, tier, model);
    return writeTier(dialect, carrier, before, field, decision.tier).message;
  }, message);
}

/** Whether the field changed. It did so alone, and doing it again changes nothing. */
function expectEdit(one: Variant, field: string, tier: string | null): boolean {
  const { protocol, text, entries, binary } = one;
  const { dialect, carrier } = protocol;
  const message = binary ? new TextEncoder().encode(text) : text;
  const result = writeTier(dialect, carrier, message, field, tier);
  const after = textOf(result.message);
  const entry = entries.find(({ path, key }) => joined(path, key) === field);
  if (entry === undefined) throw new Error(`The writer knows no ${field}: ${text}`);
  const before = valueAt(JSON.parse(text), field);
  const wanted = entry.key === "speed" ? speedOf(tier, String(before)) : tier;
  if (wanted === before) {
    expect(result.message).toBe(message);
    return false;
  }
  expect(after).toBe(spliced(text, entry, wanted === null ? null : JSON.stringify(wanted)));
  const value: unknown = JSON.parse(text);
  const owner = valueAt(value, entry.path);
  if (!isObject(owner)) throw new Error(`No object at ${entry.path}: ${text}`);
  if (wanted === null) Reflect.deleteProperty(Object(owner), entry.key);
  else Reflect.set(Object(owner), entry.key, wanted);
  expect(JSON.parse(after)).toEqual(value);
  const again = writeTier(dialect, carrier, result.message, field, tier);
  expect(again.message).toBe(result.message);
  return true;
}

function speedOf(tier: string | null, before: string): string | null {
  if (tier === "priority") return before === "priority" ? before : "fast";
  return tier === before ? tier : null;
}

test(
  `readTiers(), decideServiceTier() and writeTier() do what a full parse does, ${ROUNDS} times`,
  () => {
    const prng = new Prng(7);
    const outcomes = new Map<string, number>();
    for (let round = 0; round < ROUNDS; round++) {
      const outcome = expectSame(prng, variant(prng));
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    // Each of these happened often enough for the agreement to mean something.
    for (const outcome of [
      "ambiguous_json",
      "param_not_allowed",
      "blocked",
      "edited",
      "unchanged",
    ]) {
      expect(outcomes.get(outcome) ?? 0).toBeGreaterThan(ROUNDS / 200);
    }
  },
  TIMEOUT_MS,
);

/** What becomes of it before it goes upstream: what is not quiet, its reader sees next. */
function judged({ dialect, carrier }: Protocol, message: Message): "quiet" | null {
  if (readTiers(dialect, carrier, message).isQuiet) return "quiet";
  if (carrier === "message") messageReaderOf(dialect)?.clientSignal(message);
  return null;
}

test(
  `readTiers(), then the reader, refuse of ${ROUNDS} damaged texts those that are no object`,
  () => {
    const prng = new Prng(8);
    let refused = 0;
    let quiet = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const { protocol, text, binary } = variant(prng);
      const at = prng.int(0, text.length);
      const damaged = text.slice(0, at) + prng.pick(DAMAGE) + text.slice(at + prng.int(0, 1));
      const message = binary ? new TextEncoder().encode(damaged) : damaged;
      const result = attempt(() => judged(protocol, message));
      if (result === "quiet") {
        expectHarmless(protocol, damaged);
        if (!isObject(parsed(damaged))) quiet++;
        continue;
      }
      if ((result === "invalid_json") === isObject(parsed(damaged))) throw new Error(damaged);
      if (result === "invalid_json") refused++;
    }
    expect(refused).toBeGreaterThan(ROUNDS / 4);
    // The way without a scan was gone often.
    expect(quiet).toBeGreaterThan(ROUNDS / 400);
  },
  TIMEOUT_MS,
);
