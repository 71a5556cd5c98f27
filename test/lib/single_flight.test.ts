import { describe, expect, test } from "bun:test";
import { SingleFlight } from "../../src/lib/single_flight.ts";

describe("SingleFlight.run()", () => {
  test("does what a key stands for once for all who ask meanwhile", async () => {
    const flights = new SingleFlight<string, number>();
    const gate = Promise.withResolvers<number>();
    let runs = 0;
    const work = () => {
      runs += 1;
      return gate.promise;
    };
    const results = Promise.all([flights.run("a", work), flights.run("a", work)]);
    const other = flights.run("b", () => Promise.resolve(2));
    expect(flights.size).toBe(2);
    gate.resolve(1);
    expect([await results, await other, runs, flights.size]).toEqual([[1, 1], 2, 1, 0]);
  });

  test("tells a failure to all who waited, and runs anew after", async () => {
    const flights = new SingleFlight<string, number>();
    const fail = () => Promise.reject(new Error("no"));
    const both = await Promise.allSettled([flights.run("a", fail), flights.run("a", fail)]);
    expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(await flights.run("a", () => Promise.resolve(1))).toBe(1);
  });

  test("is not stuck by what throws before it returns a promise", async () => {
    const flights = new SingleFlight<string, number>();
    const explode = () => {
      throw new Error("at once");
    };
    await expect(flights.run("a", explode)).rejects.toThrow("at once");
    expect(flights.size).toBe(0);
  });
});
