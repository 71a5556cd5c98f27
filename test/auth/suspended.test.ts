import { expect, test } from "bun:test";
import { Suspended } from "../../src/auth/suspended.ts";

test("Suspended has an id until each of its holds was released", () => {
  const suspended = new Suspended();
  const first = suspended.hold("a");
  const second = suspended.hold("a");
  expect([suspended.has("a"), suspended.has("b")]).toEqual([true, false]);
  first();
  expect(suspended.has("a")).toBe(true);
  second();
  expect(suspended.has("a")).toBe(false);
});
