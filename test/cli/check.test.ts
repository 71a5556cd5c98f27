/** `sluice check` on files of its own. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { COMMANDS } from "../../src/cli/commands.ts";
import { runCommand } from "../../src/cli/run.ts";
import { FakeIo } from "../support/fake_io.ts";

const PROVIDER = "providers: [{ name: main, type: openai, api_key: sk-secret-of-the-file }]";

let folder: string;
let file: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-check-"));
  file = join(folder, "sluice.yml");
});

afterAll(() => rmSync(folder, { recursive: true }));

async function check(text: string | null, env: Record<string, string> = {}) {
  if (text !== null) writeFileSync(file, text);
  const io = new FakeIo({ env });
  const args = text === null ? ["check"] : ["check", "-c", file];
  const code = await runCommand(COMMANDS, args, io);
  expect(io.out + io.err).not.toContain("sk-secret");
  return { code, out: io.out, err: io.err };
}

describe("sluice check", () => {
  test("of a valid file names its providers", async () => {
    const out = "The configuration is valid. Providers: main\n";
    expect(await check(PROVIDER)).toEqual({ code: 0, out, err: "" });
  });

  test("without a file checks what the environment says", async () => {
    const good = await check(null, { OPENAI_API_KEY: "sk-secret-of-the-environment" });
    expect([good.code, good.out]).toEqual([
      0,
      "The configuration is valid. Providers: openai, anthropic, gemini\n",
    ]);
    const bad = await check(null, { SLUICE_HTTP_PORT: "sk-secret" });
    expect([bad.code, bad.err.includes("SLUICE_HTTP_PORT")]).toEqual([1, true]);
  });

  test("warns, with path and line, of a key whose function is not there yet", async () => {
    const { code, out } = await check(`${PROVIDER}\nhttp_cache: { enabled: true }\n`);
    expect(code).toBe(0);
    expect(out).toContain(`${file}:2: http_cache`);
  });

  test("warns of allowed endpoints that nothing is relayed to", async () => {
    const lists = "allowed_endpoints: [/v1/responses, /v1/edits, /v1/threads/*/runs]";
    const { code, out } = await check(PROVIDER.replace("}", `, ${lists} }`));
    expect(code).toBe(0);
    expect(out).toContain(
      "warning: provider main: allowed_endpoints has what openai has not here: " +
        "/v1/edits, /v1/threads/*/runs\n",
    );
  });

  test("says every problem with path and line, and ends with 1", async () => {
    const { code, out, err } = await check(`${PROVIDER}\nhttp_port: 99999\nhttp_prot: 1\n`);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain(`${file}:2: http_port`);
    expect(err).toContain(`${file}:3: http_prot`);
  });

  test("says what is wrong with a service tier policy beside its keys", async () => {
    const rule = "    - { service_tier: flex, action: force }\n";
    const text = `${PROVIDER}\nservice_tier_policy:\n  rules:\n${rule}`;
    const { code, err } = await check(text);
    expect(code).toBe(1);
    expect(err).toContain(`${file}:4: service_tier_policy.rules[0].force_tier: is required`);
    expect((await check(text.replace("force", "filter"))).code).toBe(0);
  });

  test("runs no $(command)", async () => {
    const trace = join(folder, "ran");
    const text = `providers: [{ name: main, type: openai, api_key: "$(touch ${trace}; echo k)" }]`;
    expect((await check(text)).code).toBe(0);
    expect(existsSync(trace)).toBe(false);
  });

  test("of a file that is not there ends with 1 and says so", async () => {
    const io = new FakeIo();
    expect(await runCommand(COMMANDS, ["check", "-c", join(folder, "none.yml")], io)).toBe(1);
    expect(io.err).toContain("no such file");
  });

  test("--explain says which provider takes a request; with none it ends with 1", async () => {
    writeFileSync(file, PROVIDER);
    const run = async (...args: string[]) => {
      const io = new FakeIo();
      const code = await runCommand(COMMANDS, ["check", "-c", file, ...args], io);
      return { code, text: io.out + io.err };
    };
    const taken = await run("--explain", "POST https://gw/v1/responses", "--model", "m");
    expect([taken.code, taken.text.includes("main: takes 100 %")]).toEqual([0, true]);
    expect(taken.text).not.toContain("sk-secret");
    const refused = await run("--explain", "GET https://gw/nothing");
    expect([refused.code, refused.text.includes("endpoint_not_found")]).toEqual([1, true]);
    expect((await run("--model", "m")).code).toBe(2);
  });
});
