/** Taking a right away: in force first, stored when that can be. */

import { describe, expect, test } from "bun:test";
import { KeptProblem } from "../../src/admin/problem.ts";
import { readSoon, requireWritten, takeAway } from "../../src/admin/take_away.ts";
import { setUpAdmin } from "../support/admin.ts";
import { BY_ADMIN } from "../support/identity.ts";

const ENTRY = { ...BY_ADMIN, subject: "token:a" };

describe("takeAway()", () => {
  test("puts it in force before it returns, and settles once it is stored", async () => {
    const { pending } = await setUpAdmin();
    const steps: string[] = [];
    const taking = takeAway(
      { pending },
      {
        entry: ENTRY,
        enforce() {
          steps.push("in force");
          return () => void steps.push("settled");
        },
        write: async () => void steps.push("stored"),
      },
    );
    expect(steps[0]).toBe("in force");
    await taking;
    expect(steps).toEqual(["in force", "stored", "settled"]);
  });

  test("throws where it is stored later, and requireWritten() until then", async () => {
    const { pending } = await setUpAdmin();
    let isAway = true;
    const write = () => (isAway ? Promise.reject(new Error("away")) : Promise.resolve());
    const taking = takeAway({ pending }, { entry: ENTRY, enforce: () => null, write });
    await expect(taking).rejects.toThrow(KeptProblem);
    await expect(requireWritten({ pending }, "token:a")).rejects.toThrow("waits to be stored");
    await requireWritten({ pending }, "token:b");
    isAway = false;
    await requireWritten({ pending }, "token:a");
    expect(pending.size).toBe(0);
  });
});

test("readSoon() is null of what fails, which is reported, or takes half a second", async () => {
  const { clock } = await setUpAdmin();
  const errors: unknown[] = [];
  const options = { clock, onError: (error: unknown) => void errors.push(error) };
  expect(await readSoon(options, Promise.resolve(7))).toBe(7);
  expect(await readSoon(options, Promise.reject(new Error("away")))).toBeNull();
  expect(errors).toEqual([new Error("away")]);
  const never = readSoon(options, Promise.withResolvers<number>().promise);
  clock.advance(500);
  expect(await never).toBeNull();
  expect(clock.pendingTimers).toBe(0);
});
