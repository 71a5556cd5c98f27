/** `sluice keys` asks no node. */

import { describe, expect, test } from "bun:test";
import { setUpCli } from "../support/cli.ts";

describe("sluice keys", () => {
  test("generate prints a key that encryption_keys takes, another one each time", async () => {
    const { sluice } = await setUpCli();
    const [one, two] = [await sluice(["keys", "generate"]), await sluice(["keys", "generate"])];
    expect(one.out).toMatch(/^[A-Za-z0-9_-]{1,32}:[A-Za-z0-9+/]{43}=\n$/);
    expect(two.out).not.toBe(one.out);
    expect(one.io.requests).toEqual([]);
    const { id, key } = JSON.parse((await sluice(["keys", "generate", "--json"])).out);
    expect([typeof id, Buffer.from(key, "base64").byteLength]).toEqual(["string", 32]);
  });
});
