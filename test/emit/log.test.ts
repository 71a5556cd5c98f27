import { describe, expect, test } from "bun:test";

import { LOG_EVENTS } from "../../src/emit/event.ts";
import { createLog, type LogOptions } from "../../src/emit/log.ts";
import { FakeClock } from "../support/fake_clock.ts";

function logging(over: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const log = createLog({
    level: "info",
    format: "json",
    clock: new FakeClock(Date.UTC(2026, 10, 20)),
    secrets: () => [["planted-secret-value"]],
    write: (line) => lines.push(line),
    ...over,
  });
  return { log, lines };
}

describe("createLog()", () => {
  test("writes one JSON object a line with ts, level and event first", () => {
    const { log, lines } = logging();
    log("listening", { url: "http://127.0.0.1:1", port: 1, tls: undefined });
    expect(lines).toEqual([
      '{"ts":"2026-11-20T00:00:00.000Z","level":"info","event":"listening",' +
        '"url":"http://127.0.0.1:1","port":1}\n',
    ]);
  });

  test("keeps a line break in a value from starting another line", () => {
    const { log, lines } = logging();
    log("relay_failed", { reason: 'x\n{"event":"forged"}' });
    expect(lines).toHaveLength(1);
    expect(lines[0]?.split("\n")).toHaveLength(2);
  });

  test("leaves out what is below the level", () => {
    const { log, lines } = logging({ level: "warn" });
    log("listening");
    log("relay_failed");
    expect(lines.map((line) => JSON.parse(line).event)).toEqual(["relay_failed"]);
  });

  test.each([
    ["a held credential", "key planted-secret-value was refused"],
    ["a bearer token", "authorization: Bearer abcdefghijklmnop"],
    ["an OpenAI key", "Incorrect API key provided: sk-proj-abcdefghijklmnop1234"],
    ["a Google key", "AIzaSyA1234567890abcdefghijklmnopqrstuvw"],
    ["a JWT", "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJkZWZhdWx0In0.c2lnbmF0dXJl"],
  ])("scrubs %s out of free text", (_what, text) => {
    const { log, lines } = logging();
    log("relay_failed", { reason: text });
    const { reason } = JSON.parse(lines[0] ?? "");
    expect(reason).not.toBe(text);
    for (const word of text.split(/[\s:]+/).filter((part) => part.length > 12)) {
      if (/^(planted|sk-|AIza|eyJ|abcdef)/.test(word)) expect(reason).not.toContain(word);
    }
  });

  test("does not let a cut through a long value save half a secret", () => {
    const { log, lines } = logging();
    log("relay_failed", { reason: `${"x".repeat(505)}planted-secret-value` });
    expect(lines[0]).not.toContain("planted");
  });

  test("caps a value from outside", () => {
    const { log, lines } = logging();
    log("relay_failed", { reason: "x ".repeat(100_000) });
    expect(lines[0]?.length).toBeLessThan(1_000);
  });

  test("writes a readable line in the pretty format", () => {
    const { log, lines } = logging({ format: "pretty" });
    log("listening", { url: "http://x" });
    expect(lines[0]).toBe('00:00:00.000 info  listening              url="http://x"\n');
  });
});

test("LOG_EVENTS names every event in snake_case", () => {
  for (const name of Object.keys(LOG_EVENTS)) expect(name).toMatch(/^[a-z]+(_[a-z]+)*$/);
});
