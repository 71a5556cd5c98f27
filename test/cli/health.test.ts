/** `sluice health` against the real management API. */

import { describe, expect, test } from "bun:test";

import { setUpCli } from "../support/cli.ts";

describe("sluice health", () => {
  test.each([
    ["ok", 0],
    ["degraded", 0],
    ["draining", 1],
    ["starting", 1],
  ])("of a node that is %s ends with %d", async (status, code) => {
    const { sluice } = await setUpCli({ status: () => ({ status }) });
    const ran = await sluice(["health"]);
    expect([ran.code, ran.out]).toEqual([code, code === 0 ? `${status}\n` : ""]);
    if (code !== 0) expect(ran.err).toContain(status);
  });

  test("prints JSON where that is asked for", async () => {
    const { sluice } = await setUpCli({ status: () => ({ status: "ok" }) });
    expect((await sluice(["health", "--json"])).out).toBe('{"status":"ok"}\n');
  });
});
