import { expect, test } from "bun:test";

import { LineWriter } from "../../src/emit/line_writer.ts";
import { FakeClock } from "../support/fake_clock.ts";

/** A stream whose reader may stall; reveals a writer that queues without bound. */
class Sink {
  readonly written: string[] = [];
  writableLength = 0;

  write(text: string): boolean {
    this.written.push(text);
    return true;
  }
}

function writing() {
  const sink = new Sink();
  const clock = new FakeClock();
  const writer: LineWriter = new LineWriter(sink, clock, (count) => {
    writer.write(`dropped ${count}\n`);
  });
  return { sink, clock, writer };
}

test("LineWriter.write() makes one write of all lines of a turn", () => {
  const { sink, clock, writer } = writing();
  writer.write("a\n");
  writer.write("b\n");
  expect(sink.written).toEqual([]);
  clock.flushSoon();
  expect(sink.written).toEqual(["a\nb\n"]);
  clock.flushSoon();
  expect(sink.written).toHaveLength(1);
});

test("LineWriter.write() drops lines while the stream lags behind, and says how many", () => {
  const { sink, clock, writer } = writing();
  sink.writableLength = 5 * 1024 * 1024;
  for (let line = 0; line < 3; line += 1) writer.write("lost\n");
  sink.writableLength = 0;
  writer.write("kept\n");
  clock.flushSoon();
  expect(sink.written).toEqual(["dropped 3\nkept\n"]);
});

test("LineWriter bounds what is collected within one turn", () => {
  const { sink, clock, writer } = writing();
  for (let line = 0; line < 10_000; line += 1) writer.write(`${"x".repeat(1023)}\n`);
  clock.flushSoon();
  expect(sink.written.join("").length).toBeLessThan(5 * 1024 * 1024);
});
