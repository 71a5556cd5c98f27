import { expect, test } from "bun:test";

import { GatewayError } from "../../src/errors.ts";
import type { Limits } from "../../src/exchange.ts";
import { SessionLimits } from "../../src/policy/session_limits.ts";

function limitsOf(...limits: Limits[]): SessionLimits {
  return new SessionLimits(limits.map((one, at) => ({ subject: `token:${at}`, limits: one })));
}

function refusal(session: SessionLimits): GatewayError | null {
  try {
    session.admitTurn();
    return null;
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
}

test("SessionLimits has the narrowest times of its subjects, in milliseconds", () => {
  const session = limitsOf(
    { session_seconds: 60, session_idle_seconds: 10 },
    { session_seconds: 30 },
  );
  expect([session.durationMsMax, session.idleMsMax]).toEqual([30_000, 10_000]);
  expect([limitsOf().durationMsMax, limitsOf({}).idleMsMax]).toEqual([0, 0]);
});

test("admitTurn() admits any number of turns without caps", () => {
  const session = limitsOf({ max_requests: 1 });
  for (let turn = 0; turn < 100; turn++) {
    session.admitTurn();
    session.turnEnded(1_000_000, 1_000_000);
  }
});

test.each([
  [{ session_turns: 2 }, "2 turns"],
  [{ session_tokens: 20 }, "20 tokens"],
  [{ session_cost_micros: 11 }, "11 micro-dollars"],
] as const)("admitTurn() refuses a turn once %p are used up", (limits, words) => {
  const session = limitsOf({ session_turns: 90 }, limits);
  for (let turn = 0; turn < 2; turn++) {
    session.admitTurn();
    session.turnEnded(10, 6);
  }
  const error = refusal(session);
  expect([error?.code, error?.closeCode]).toEqual(["session_limit", 1008]);
  expect(error?.message).toContain(words);
});

test("admitTurn() counts turns that run", () => {
  const session = limitsOf({ session_turns: 2 });
  session.admitTurn();
  session.admitTurn();
  expect(refusal(session)?.code).toBe("session_limit");
});

test("turnReleased() makes room for another turn", () => {
  const session = limitsOf({ session_turns: 1 });
  session.admitTurn();
  session.turnReleased();
  session.admitTurn();
  session.turnEnded(0, 0);
  session.turnReleased();
  expect(refusal(session)?.code).toBe("session_limit");
});

test("turnEnded() counts turns that the upstream began by itself", () => {
  const session = limitsOf({ session_turns: 2 });
  session.turnEnded(1, 1);
  session.admitTurn();
  expect(refusal(session)?.code).toBe("session_limit");
});
