import { expect, test } from "bun:test";

import { NO_TRAFFIC } from "../../src/meter/row.ts";
import { TrafficCount } from "../../src/meter/traffic_count.ts";

test("TrafficCount counts frames, and bytes as UTF-8 has them", () => {
  const traffic = new TrafficCount();
  expect(traffic.up("né")).toBe(3);
  expect(traffic.up(Uint8Array.of(1, 2))).toBe(2);
  traffic.down("abcd");
  expect(traffic.take()).toEqual({ framesUp: 2, framesDown: 1, bytesUp: 5, bytesDown: 4 });
});

test("TrafficCount.take() gives what was counted once", () => {
  const traffic = new TrafficCount();
  traffic.up("a");
  traffic.take();
  expect(traffic.take()).toEqual(NO_TRAFFIC);
});
