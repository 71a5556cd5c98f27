import { expect, test } from "bun:test";

import {
  NO_SCRIPT,
  parseScript,
  type Script,
  SCRIPT_KEYS,
  ScriptError,
} from "../../src/mock/script.ts";

test.each<[string, Partial<Script>]>([
  ["", {}],
  ["delay=250ms", { firstDelayMs: 250, eachDelayMs: 250 }],
  ["delay=first:1s", { firstDelayMs: 1_000 }],
  ["delay=each:10ms", { eachDelayMs: 10 }],
  ["delay=first:250ms,each:10ms,tokens=20", { firstDelayMs: 250, eachDelayMs: 10, tokens: 20 }],
  ["delay=0", {}],
  [" status=429 , error=insufficient_quota ", { status: 429, error: "insufficient_quota" }],
  ["close=1011,after=3", { close: 1011, after: 3 }],
  ["drop", { drop: true }],
  ["hang", { hang: true }],
  ["garbage", { garbage: "text" }],
  ["garbage=binary", { garbage: "binary" }],
  ["fixture=responses.json", { fixture: "responses.json" }],
  ["chunk=7", { chunkBytes: 7 }],
  ["frames=3,size=16KiB", { frames: 3, frameBytes: 16_384 }],
  ["bytes=1MiB", { bodyBytes: 1_048_576 }],
])("parseScript(%p)", (text, expected) => {
  expect(parseScript(text)).toEqual({ ...NO_SCRIPT, ...expected });
});

test("parseScript() puts a script on top of another", () => {
  const base = parseScript("tokens=5,delay=each:1s");
  expect(parseScript("tokens=6", base)).toEqual({ ...base, tokens: 6 });
});

test.each([
  ["speed=9", "speed"],
  ["toString", "toString"],
  ["tokens", "tokens="],
  ["tokens=-1", "tokens=-1"],
  ["tokens=1e3", "tokens=1e3"],
  ["status=200", "status=200"],
  ["status=600", "status=600"],
  ["delay=fast", "delay=fast"],
  ["delay=250", "delay=250"],
  ["delay=2h", "delay=2h"],
  ["each:10ms", "each:10ms"],
  ["close=1004", "close=1004"],
  ["close=1006", "close=1006"],
  ["close=2000", "close=2000"],
  ["close=5000", "close=5000"],
  ["after=x", "after=x"],
  ["drop=no", "drop=no"],
  ["hang=1", "hang=1"],
  ["garbage=loud", "garbage=loud"],
  ["fixture=../secret.json", "fixture=../secret.json"],
  ["error=Bad Code", "error=Bad Code"],
  ["chunk=0", "chunk=0"],
  ["frames=0", "frames=0"],
  ["size=1KiB", "frames"],
  ["frames=1,size=10", "size=10"],
  ["bytes=lots", "bytes=lots"],
])("parseScript(%p) is an error that names %p", (text, named) => {
  expect(() => parseScript(text)).toThrow(ScriptError);
  expect(() => parseScript(text)).toThrow(named);
});

test("SCRIPT_KEYS names every key that parseScript() knows", () => {
  for (const key of SCRIPT_KEYS) {
    expect(() => parseScript(`${key}=?`)).toThrow(`${key}=?`);
  }
});
