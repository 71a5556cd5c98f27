import { Buffer } from "node:buffer";
import { expect, test } from "bun:test";

import { RefusalReader } from "../../src/relay/refusal.ts";

const reader = (...headers: [string, string][]) =>
  new RefusalReader({ status: 400, headers, size: 0 });

test("RefusalReader reads a chunked body the same in any pieces", () => {
  const wire = "5\r\nhello\r\n1;ext=1\r\n \r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
  for (let cut = 0; cut <= wire.length; cut++) {
    const refusal = reader(["Transfer-Encoding", "chunked"]);
    refusal.push(Buffer.from(wire.slice(0, cut)));
    refusal.push(Buffer.from(wire.slice(cut)));
    expect([cut, refusal.done, Buffer.from(refusal.body).toString()]).toEqual([
      cut,
      true,
      "hello 0123456789",
    ]);
  }
});

test.each([
  ["a size that is none", "xyz\r\nhello\r\n", ""],
  ["more than a chunk's size", "2\r\nhello\r\n", "he"],
  ["a size line without end", "1".repeat(5000), ""],
])("RefusalReader ends a chunked body at %s", (_title, wire, body) => {
  const refusal = reader(["transfer-encoding", "chunked"]);
  refusal.push(Buffer.from(wire));
  expect([refusal.done, Buffer.from(refusal.body).toString()]).toEqual([true, body]);
});

test("RefusalReader never holds more than 64 KiB, whatever the length says", () => {
  const refusal = reader(["content-length", "10000000"]);
  for (let i = 0; i < 100; i++) refusal.push(new Uint8Array(10_000));
  expect([refusal.done, refusal.body.length]).toEqual([true, 65_536]);
});

test.each([204, 304])("RefusalReader expects no body of %d", (status) => {
  expect(new RefusalReader({ status, headers: [], size: 0 }).done).toBe(true);
});
