import { expect, test } from "bun:test";

import type { ScalarRule } from "../../src/config/rule.ts";
import {
  address,
  anyText,
  choice,
  decimal,
  duration,
  encryptionKey,
  flag,
  headerName,
  headerSecret,
  headerValue,
  integer,
  matching,
  port,
  settableHeaderName,
  size,
  text,
  url,
} from "../../src/config/scalars.ts";

const KEY = "A".repeat(43) + "=";

const GOOD: readonly (readonly [ScalarRule<unknown>, string, unknown])[] = [
  [integer(1, 10), "7", 7],
  [integer(-5, 5), "-5", -5],
  [port, "0", 0],
  [port, "65535", 65_535],
  [decimal(0, 10), "1.5", 1.5],
  [decimal(0, 1_000), "1e2", 100],
  [flag(), "TRUE", true],
  [flag(), "false", false],
  [choice(["a", "b"]), " B ", "b"],
  [choice(["EdDSA"]), "eddsa", "EdDSA"],
  [choice(["warn"], { warning: "warn" }), "WARNING", "warn"],
  [duration(), "10", 10_000],
  [duration(), "24d", 2_073_600_000],
  [size(), "16KiB", 16_384],
  [text(), "a b", "a b"],
  [anyText(), "a\nb", "a\nb"],
  [matching(/^x$/, "x"), "x", "x"],
  [address, "0.0.0.0", "0.0.0.0"],
  [address, "::", "::"],
  [address, "[::1]", "::1"],
  [address, "Localhost", "localhost"],
  [headerSecret, "a b", "a b"],
  [headerValue, "", ""],
  [headerName, "X-Y", "x-y"],
  [settableHeaderName, "Authorization", "authorization"],
];

test.each(GOOD.map(([rule, given, expected]) => [rule.expects, given, expected, rule] as const))(
  "the rule for %s reads %p as %p",
  (_, given, expected, rule) => {
    expect(rule.convert(given)).toBe(expected);
  },
);

const BAD: readonly (readonly [ScalarRule<unknown>, string])[] = [
  [integer(1, 10), "0"],
  [integer(1, 10), "11"],
  [integer(1, 10), "1.0"],
  [integer(1, 10), "0x5"],
  [integer(1, 10), ""],
  [port, "65536"],
  [port, "-1"],
  [decimal(0, 10), "nan"],
  [decimal(0, 10), ".inf"],
  [decimal(0, 10), "-0.1"],
  [decimal(0, 10), "1e400"],
  [flag(), "yes"],
  [flag(), "1"],
  [choice(["a"]), "constructor"],
  [choice(["a"], {}), "__proto__"],
  [duration(), "25d"],
  [duration("1s"), "999ms"],
  [size("1KiB"), "1023"],
  [text(), ""],
  [text(), "a\nb"],
  [text(), "a\u0000"],
  [text(), "x".repeat(8_193)],
  [address, "0.0.0.0:80"],
  [address, "a b"],
  [address, "::g"],
  [headerSecret, ""],
  [headerSecret, " a"],
  [headerSecret, "a\r\nb: c"],
  [headerSecret, "naïve"],
  [headerValue, "a\nb"],
  [headerName, "a b"],
  [headerName, ""],
  [settableHeaderName, "Host"],
  [settableHeaderName, "Sec-WebSocket-Key"],
  [settableHeaderName, "Content-Length"],
  [encryptionKey, KEY],
  [encryptionKey, `k1:${KEY.slice(4)}`],
  [encryptionKey, `k 1:${KEY}`],
  [encryptionKey, `k1:${"A".repeat(42)}B=`],
  [url(["http"]), "https://a"],
  [url(["http"]), "a"],
  [url(["http"]), "http://a/#b"],
];

test.each(BAD.map(([rule, given]) => [rule.expects, given, rule] as const))(
  "the rule for %s refuses %p",
  (_, given, rule) => {
    expect(rule.convert(given)).toBeUndefined();
  },
);

test("encryptionKey reads an id and 32 bytes", () => {
  expect(encryptionKey.convert(`k1:${KEY}`)).toEqual({ id: "k1", key: new Uint8Array(32) });
});

test("every rule says what it expects", () => {
  for (const rule of [integer(1, 2), flag(), duration(), size(), text(), address, encryptionKey]) {
    expect(rule.expects).toMatch(/^(a|an|one of|text|true|id)\b/);
  }
});
