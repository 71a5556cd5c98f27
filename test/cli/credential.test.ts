/** `sluice credential` against the real management API. */

import { describe, expect, test } from "bun:test";
import { setUpCli } from "../support/cli.ts";

const SECRET = "sk-proj-0123456789abcdefghij";

describe("sluice credential", () => {
  test.each([
    ["standard input", ["--api-key-stdin"], { input: `${SECRET}\n` }],
    ["a prompt", [], { typed: SECRET }],
    [
      "a prompt, when asked for standard input on a terminal",
      ["--api-key-stdin"],
      { typed: SECRET },
    ],
    ["SLUICE_API_KEY", [], { input: "", env: { SLUICE_API_KEY: SECRET } }],
  ])("create reads the key from %s", async (_from, more, options) => {
    const { sluice, directory } = await setUpCli();
    const args = ["credential", "create", "--provider", "openai", "--label", "team", ...more];
    const { code, out, err } = await sluice(args, options);
    expect(code).toBe(0);
    expect(out).toContain("Stored openai key sk-p****ghij of project default");
    expect(out + err).not.toContain(SECRET);
    expect(await directory.credential("default", "openai")).toBe(SECRET);
  });

  test.each([
    ["nothing", [], "", "--api-key-stdin"],
    ["an empty input", ["--api-key-stdin"], "\n", "empty"],
    ["two lines", ["--api-key-stdin"], "sk-one\nsk-two\n", "one line"],
  ])("create refuses %s without a request", async (_what, more, input, words) => {
    const { sluice } = await setUpCli();
    const args = ["credential", "create", "--provider", "openai", ...more];
    const { code, err, io } = await sluice(args, { input });
    expect([code, io.requests.length]).toEqual([2, 0]);
    expect(err).toContain(words);
  });

  test("list shows masks, delete deletes", async () => {
    const { sluice, store } = await setUpCli();
    const options = { input: SECRET };
    const args = ["credential", "create", "--provider", "openai", "--api-key-stdin", "--json"];
    const { id } = JSON.parse((await sluice(args, options)).out);
    expect((await sluice(["credential", "list"])).out).toMatch(
      new RegExp(`^ID +PROVIDER +KEY +LABEL +UPDATED\\n${id} +openai +sk-p\\*{4}ghij +- `),
    );
    expect((await sluice(["credential", "delete", id])).code).toBe(0);
    expect(store.credentials.size).toBe(0);
    expect((await sluice(["credential", "delete", id])).code).toBe(1);
  });
});
