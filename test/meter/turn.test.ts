import { describe, expect, test } from "bun:test";
import type { Turn, TurnRequest } from "../../src/meter/turn.ts";
import { TurnTable } from "../../src/meter/turn.ts";
import type { EndedSignal, StartedSignal } from "../../src/provider/provider.ts";
import { RecordingReservation } from "../support/reservation.ts";

const NOTHING = new RecordingReservation();
const ASKED = {
  requestedModel: null,
  model: null,
  serviceTier: null,
  frameBytes: 0,
  outputTokensMax: null,
};

function requested(model: string, lane: string | null = null): TurnRequest {
  const unsaid = { serviceTier: null, requestedTier: null, outputTokensMax: null, warmup: false };
  return { signal: "requested", lane, model, ...unsaid };
}

function started(key: string, lane: string | null = null): StartedSignal {
  const kind = "response";
  return { signal: "started", key, kind, lane, model: null, serviceTier: null, background: false };
}

function ended(key: string | null, lane: string | null = null): EndedSignal {
  return {
    signal: "ended",
    key,
    kind: "response",
    lane,
    terminal: "response.completed",
    status: "completed",
    model: null,
    serviceTier: null,
    errorCode: null,
    usage: { reading: "absent" },
    continues: false,
  };
}

function open() {
  const opened: Turn[] = [];
  const table = new TurnTable(
    (turn) => opened.push(turn),
    () => undefined,
  );
  return { table, opened };
}

describe("TurnTable", () => {
  test("pairs a response with the oldest request of its lane", () => {
    const { table, opened } = open();
    for (const model of ["a", "b"]) table.requested(requested(model, "x"), ASKED, 0, NOTHING);
    table.requested(requested("c"), ASKED, 0, NOTHING);
    table.started(started("r", "x"), 0);
    expect(opened.map((turn) => [turn.requestedModel, turn.key])).toEqual([
      ["a", "r"],
      ["b", null],
      ["c", null],
    ]);
  });

  test("pairs a response without a lane with the oldest request, if its lane has none", () => {
    const { table, opened } = open();
    table.requested(requested("a", "x"), ASKED, 0, NOTHING);
    table.started(started("r"), 0);
    expect(opened.map((turn) => turn.key)).toEqual(["r"]);
  });

  test("begins a turn for a response in a named lane that nobody asked for", () => {
    const { table } = open();
    table.requested(requested("a", "x"), ASKED, 0, NOTHING);
    table.started(started("r", "y"), 0);
    expect([table.count, table.runningCount]).toEqual([2, 2]);
  });

  test("ends a response that is not named as the started one of its lane", () => {
    const { table } = open();
    table.requested(requested("a"), ASKED, 0, NOTHING);
    table.started(started("r"), 0);
    table.requested(requested("b"), ASKED, 0, NOTHING);
    expect(table.ended(ended(null), 0)?.requestedModel).toBe("a");
    expect(table.ended(ended(null), 0)?.requestedModel).toBe("b");
    expect(table.ended(ended(null), 0)).toBeNull();
  });

  test("awaits output exactly while an answered turn has none", () => {
    const { table } = open();
    const seen = [table.awaitsOutput];
    table.requested(requested("a"), ASKED, 0, NOTHING);
    seen.push(table.awaitsOutput);
    table.started(started("r"), 0);
    seen.push(table.awaitsOutput);
    table.output(null, 5);
    seen.push(table.awaitsOutput);
    table.started(started("s"), 0);
    seen.push(table.awaitsOutput);
    table.ended(ended("s"), 0);
    seen.push(table.awaitsOutput);
    expect(seen).toEqual([false, false, true, false, true, false]);
  });

  test("keeps a turn out whose opening fails", () => {
    const table = new TurnTable(
      () => {
        throw new Error("disk full");
      },
      () => undefined,
    );
    expect(() => table.requested(requested("a"), ASKED, 0, NOTHING)).toThrow("disk full");
    expect([table.count, table.runningCount]).toEqual([0, 0]);
  });

  test("remembers a bounded number of ended responses", () => {
    const { table } = open();
    for (let count = 0; count < 300; count++) table.ended(ended(`r${count}`), 0);
    expect(table.ended(ended("r299"), 0)).toBeNull();
    expect(table.ended(ended("r0"), 0)?.number).toBe(301);
  });

  test("drain() leaves nothing behind", () => {
    const { table } = open();
    table.started(started("r"), 0);
    expect(table.drain().length).toBe(1);
    expect([table.runningCount, table.awaitsOutput]).toEqual([0, false]);
  });
});
