import { describe, expect, test } from "bun:test";
import { BodyTurn } from "../../src/meter/body_turn.ts";
import { MeterWorld } from "../support/meter_world.ts";

describe("BodyTurn", () => {
  test("closes its row once: the first ending counts", () => {
    const world = new MeterWorld();
    const turn = new BodyTurn(world.body("none", null));
    turn.end({ status: "failed", usage: { reading: "absent" }, terminal: "t", errorCode: "e" });
    turn.interrupted();
    turn.signal({ signal: "output" });
    expect(world.ledger.closed.map((row) => row.status)).toEqual(["failed"]);
    expect(turn.isOver).toBe(true);
  });

  test("is not opened when the ledger refuses", () => {
    const world = new MeterWorld();
    world.ledger.failure = new Error("disk full");
    expect(() => new BodyTurn(world.body("none", null))).toThrow("disk full");
  });

  test("notes the first output only", () => {
    const world = new MeterWorld();
    const turn = new BodyTurn(world.body("none", null));
    world.clock.advance(7);
    turn.signal({ signal: "output" });
    world.clock.advance(7);
    turn.signal({ signal: "output" });
    expect(turn.awaitsOutput).toBe(false);
    turn.interrupted();
    expect(world.ledger.closed[0]?.first_token_ms).toBe(7);
  });

  test("takeClosing() gives the promise of the record once", async () => {
    const world = new MeterWorld();
    world.ledger.pending = Promise.resolve();
    const turn = new BodyTurn(world.body("none", null));
    turn.interrupted();
    expect(turn.takeClosing()).toBeInstanceOf(Promise);
    expect(turn.takeClosing()).toBeUndefined();
  });
});
