/** `sluice usage` against the real management API. */

import { describe, expect, test } from "bun:test";
import { setUpCli } from "../support/cli.ts";
import { usageEvent } from "../support/usage_event.ts";

describe("sluice usage", () => {
  test("shows turns, what is unknown as -, and nothing that steers the terminal", async () => {
    const { sluice, store, clock } = await setUpCli();
    const model = "gpt\u001b[31m-5\nfake";
    const recorded_at = clock.nowMs() - 1000;
    await store.insertUsage([usageEvent(1, { recorded_at, model, output_tokens: null })]);
    const { out } = await sluice(["usage", "--since", "1h", "--project", "default"]);
    const [header, row, ...rest] = out.trimEnd().split("\n");
    expect(rest).toEqual([]);
    expect(header).toMatch(/^RECORDED +PROJECT +PROVIDER .* IN +CACHED +OUT +FIRST MS +MS$/);
    expect(row).toMatch(/ gpt\?\[31m-5\?fake +completed +10 +4 +- +120 +900$/);
  });

  test("passes every filter on, prints the API's JSON, and says when there is more", async () => {
    const { sluice, store } = await setUpCli();
    const ids = ["a", "b"];
    await store.insertUsage(ids.map((event_id) => usageEvent(1, { event_id, token_id: "t" })));
    const filters = ["--token", "t", "--session", "ses_1", "--until", "2100-01-01T00:00:00Z"];
    const first = await sluice(["usage", ...filters, "--limit", "1"]);
    expect(first.err).toBe("There is more: --cursor 1\n");
    const second = await sluice(["usage", "--limit", "1", "--cursor", "1", "--json"]);
    expect(JSON.parse(second.out)).toMatchObject({
      events: [{ event_id: "b" }],
      next_cursor: null,
    });
  });
});
