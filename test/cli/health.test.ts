/** `sluice health` against the real listener of the management API. */

import { afterAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { healthResponse, type HealthReason, type Readiness } from "../../src/accept/front_door.ts";
import { setUpCli } from "../support/cli.ts";

const NO_ENV = { SLUICE_ADMIN_URL: "", SLUICE_ADMIN_TOKEN: "" };

function nodeThatIs(readiness: Readiness, reasons: readonly HealthReason[] = []) {
  const health = () => healthResponse({ readiness, reasons, revocationsAgeMs: 12 });
  return setUpCli({ health });
}

describe("sluice health", () => {
  const folders: string[] = [];
  afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))));

  test.each<[Readiness, number]>([
    ["ok", 0],
    ["degraded", 0],
    ["draining", 1],
    ["starting", 1],
  ])("of a node that is %s ends with %d", async (status, code) => {
    const { sluice } = await nodeThatIs(status);
    const ran = await sluice(["health"]);
    expect([ran.code, ran.out]).toEqual([code, code === 0 ? `${status}\n` : ""]);
    if (code !== 0) expect(ran.err).toContain(status);
  });

  test("says why a node is degraded", async () => {
    const { sluice } = await nodeThatIs("degraded", ["store_unreachable", "revocations_old"]);
    expect((await sluice(["health"])).out).toBe("degraded (store_unreachable, revocations_old)\n");
  });

  test("prints the whole answer as JSON where that is asked for", async () => {
    const { sluice } = await nodeThatIs("draining");
    const { code, out } = await sluice(["health", "--json"]);
    expect([code, JSON.parse(out)]).toEqual([
      1,
      { status: "draining", reasons: [], revocations_age_ms: 12 },
    ]);
  });

  test("sends no token and needs none, also while everybody's is refused", async () => {
    const { sluice, request } = await nodeThatIs("ok");
    const address = "127.0.0.1";
    for (let n = 0; n < 20; n += 1) {
      await request("GET", "/manage/status", undefined, { token: "wrong", address });
    }
    expect((await request("GET", "/manage/status", undefined, { address })).status).toBe(429);
    const url = "http://127.0.0.1:9090";
    const { code, io } = await sluice(["health"], { env: { ...NO_ENV, SLUICE_ADMIN_URL: url } });
    expect(code).toBe(0);
    expect(io.requests.map((one) => [one.url, one.headers.get("authorization")])).toEqual([
      [`${url}/health/ready`, null],
    ]);
  });

  test("finds the node of a folder", async () => {
    const { sluice } = await nodeThatIs("ok");
    const folder = await mkdtemp(join(tmpdir(), "sluice-health-"));
    folders.push(folder);
    const access = JSON.stringify({ url: "http://127.0.0.1:9191", token: "x" });
    await writeFile(join(folder, "admin.json"), access, { mode: 0o600 });
    const { code, io } = await sluice(["health", "--data-dir", folder], { env: NO_ENV });
    expect([code, io.requests[0]?.url]).toEqual([0, "http://127.0.0.1:9191/health/ready"]);
    const none = await sluice(["health", "--data-dir", "/nonexistent"], { env: NO_ENV });
    expect([none.code, none.io.requests.length]).toEqual([1, 0]);
  });

  test.each<[string, () => Promise<Response>]>([
    ["nobody", () => Promise.reject(new Error("ECONNREFUSED"))],
    ["another service", async () => new Response("<html>")],
    ["another service's JSON", async () => Response.json({ status: 5 })],
    ["a redirect", async () => Response.redirect("http://elsewhere.example/")],
  ])("ends with 1 where %s answers", async (_who, fetch) => {
    const { sluice } = await nodeThatIs("ok");
    const { code, out, err } = await sluice(["health"], { fetch });
    expect([code, out]).toEqual([1, ""]);
    expect(err).toStartWith("error: ");
  });
});
