/** How the management commands find their node, and what they say when they do not. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ADMIN_TOKEN } from "../support/admin.ts";
import { ADMIN_URL, setUpCli } from "../support/cli.ts";

describe("connect() finds its node", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "sluice-cli-"));
    const admin = JSON.stringify({ url: ADMIN_URL, token: ADMIN_TOKEN });
    for (const [name, text] of [
      ["admin.json", admin],
      ["here.yml", `data_dir: ${folder}\nunknown_key: 1\n`],
      ["variable.yml", "data_dir: ${FOLDER}\n"],
      ["none.yml", "http_port: 1\n"],
      ["broken.yml", "data_dir: $(id)\n"],
    ] as const) {
      await writeFile(join(folder, name), text, { mode: 0o600 });
    }
  });
  afterAll(() => rm(folder, { recursive: true }));

  const none = { SLUICE_ADMIN_URL: "", SLUICE_ADMIN_TOKEN: "" };

  test.each<
    [string, (folder: string) => { args?: string[]; env?: Record<string, string>; cwd?: string }]
  >([
    ["--data-dir", (dir) => ({ args: ["--data-dir", dir] })],
    [
      "--data-dir, against the environment",
      (dir) => ({
        args: ["--data-dir", dir],
        env: { SLUICE_ADMIN_URL: "http://127.0.0.1:1", SLUICE_ADMIN_TOKEN: "other" },
      }),
    ],
    ["SLUICE_DATA_DIR", (dir) => ({ env: { SLUICE_DATA_DIR: dir } })],
    ["a relative --data-dir", (dir) => ({ args: ["--data-dir", "."], cwd: dir })],
    ["-c", (dir) => ({ args: ["-c", "here.yml"], cwd: dir })],
    [
      "-c with a variable",
      (dir) => ({ args: ["-c", join(dir, "variable.yml")], env: { FOLDER: dir } }),
    ],
    [
      "-c without data_dir, and SLUICE_DATA_DIR",
      (dir) => ({
        args: ["-c", join(dir, "none.yml")],
        env: { SLUICE_DATA_DIR: dir },
      }),
    ],
    [
      "the token alone, and the folder's address",
      (dir) => ({
        env: { SLUICE_ADMIN_TOKEN: ADMIN_TOKEN, SLUICE_DATA_DIR: dir },
      }),
    ],
    [
      "--admin-url and --admin-token",
      () => ({
        args: ["--admin-url", `${ADMIN_URL}/`, "--admin-token", ADMIN_TOKEN],
      }),
    ],
  ])("by %s", async (_how, how) => {
    const { sluice } = await setUpCli();
    const { args = [], env = {}, cwd } = how(folder);
    const options = { env: { ...none, ...env }, ...(cwd === undefined ? {} : { cwd }) };
    const { code, io, err } = await sluice(["token", "list", ...args], options);
    expect([code, err]).toEqual([0, ""]);
    expect(io.requests[0]?.url).toBe(`${ADMIN_URL}/manage/tokens`);
    expect(io.requests[0]?.headers.get("authorization")).toBe(`Bearer ${ADMIN_TOKEN}`);
  });

  test.each<[string, string[], Record<string, string>, number, string]>([
    ["no trace of a node", [], {}, 1, "Start one with `sluice serve`"],
    ["a folder without admin.json", ["--data-dir", "/nonexistent"], {}, 1, "No node has run on"],
    ["a configuration that is not there", ["-c", "nope.yml"], {}, 1, "Check the path"],
    [
      "an address without its token",
      [],
      { SLUICE_ADMIN_URL: "http://other.example" },
      2,
      "No admin token",
    ],
    [
      "an address that is none",
      ["--admin-url", "x", "--admin-token", "y"],
      {},
      2,
      "no http or https URL",
    ],
    [
      "an address of another scheme",
      ["--admin-url", "file:///etc", "--admin-token", "y"],
      {},
      2,
      "no http",
    ],
  ])("or says what to do about %s", async (_what, args, env, code, words) => {
    const { sluice } = await setUpCli();
    const ran = await sluice(["token", "list", ...args], { env: { ...none, ...env } });
    expect([ran.code, ran.io.requests.length]).toEqual([code, 0]);
    expect(ran.err).toContain(words);
  });

  test("and runs no command that data_dir may hold", async () => {
    const { sluice } = await setUpCli();
    const ran = await sluice(["token", "list", "-c", join(folder, "broken.yml")], { env: none });
    expect([ran.code, ran.io.requests.length]).toEqual([1, 0]);
    expect(ran.err).toContain("--data-dir");
  });
});

describe("AdminClient fails in words for", () => {
  test.each<[string, (request: Request) => Promise<Response>, string]>([
    [
      "a refused connection",
      () => Promise.reject(new Error("ECONNREFUSED")),
      "Is the node running",
    ],
    ["another service's HTML", async () => new Response("<html>", { status: 200 }), "admin_port"],
    ["a redirect", async () => Response.redirect("http://elsewhere.example/"), "admin_port"],
    ["a refused admin token", async () => Response.json({}, { status: 401 }), "SLUICE_ADMIN_TOKEN"],
    ["an error of another shape", async () => Response.json([], { status: 500 }), "answered 500"],
  ])("%s", async (_what, fetch, words) => {
    const { sluice } = await setUpCli();
    for (const args of [["project", "show", "default"], ["usage"]]) {
      const { code, out, err } = await sluice(args, { fetch });
      expect([code, out]).toEqual([1, ""]);
      expect(err).toStartWith("error: ");
      expect(err).toContain(words);
      expect(err).not.toContain(ADMIN_TOKEN);
    }
  });
});
