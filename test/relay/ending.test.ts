/** An exchange that is ended from outside. */

import { expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import { ClientGone, Ending } from "../../src/relay/ending.ts";

test("Ending tells the last listener once, of the first reason", () => {
  const ending = new Ending();
  const heard: string[] = [];
  ending.tell(() => heard.push("first"));
  ending.tell(() => heard.push("last"));
  expect(ending.reason).toBeNull();
  ending.throwIfEnded();
  const reason = new GatewayError("token_revoked");
  ending.end(reason);
  ending.end(new ClientGone());
  expect([heard, ending.reason]).toEqual([["last"], reason]);
  expect(() => ending.throwIfEnded()).toThrow(reason);
});

test("Ending tells nobody after tell(null)", () => {
  const ending = new Ending();
  const heard: string[] = [];
  ending.tell(() => heard.push("told"));
  ending.tell(null);
  ending.end(new ClientGone());
  expect(heard).toEqual([]);
});
