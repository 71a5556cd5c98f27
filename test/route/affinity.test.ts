/** Where a response was made, and how long that is remembered. */

import { beforeEach, describe, expect, test } from "bun:test";

import { openai } from "../../src/provider/openai.ts";
import { Affinity, responseOfPath } from "../../src/route/affinity.ts";
import { resolve } from "../../src/route/resolve.ts";
import { buildTable } from "../../src/route/table.ts";
import { providerConfig } from "../support/provider_config.ts";

const one = providerConfig({ name: "one" });
const two = providerConfig({ name: "two" });

let affinity: Affinity;

beforeEach(() => {
  affinity = new Affinity([one, two], 2);
});

function sent(session: string, apiKey: string, endpoint = "/v1/responses") {
  affinity.sent(session, { provider: one, apiKey, endpoint: { name: endpoint } });
}

function made(
  session: string,
  response: string | null,
  provider = "one",
  endpoint = "/v1/responses",
) {
  affinity.made({
    session_id: session,
    project_id: "p",
    provider,
    endpoint,
    response_id: response,
  });
}

describe("Affinity", () => {
  test("finds the provider and the key that made a response, of every turn of a session", () => {
    sent("ex_1", "k");
    made("ex_1", "resp_1");
    made("ex_1", "resp_2");
    expect(affinity.find("p", "resp_1")).toEqual({ provider: one, apiKey: "k" });
    expect(affinity.find("p", "resp_2")).toEqual({ provider: one, apiKey: "k" });
  });

  test("finds nothing for another project", () => {
    sent("ex_1", "k");
    made("ex_1", "resp_1");
    expect(affinity.find("q", "resp_1")).toBeNull();
  });

  test("believes the ledger where the exchange went to another provider in the end", () => {
    sent("ex_1", "k");
    made("ex_1", "resp_1", "two");
    expect(affinity.find("p", "resp_1")).toEqual({ provider: two, apiKey: null });
  });

  test("takes the upstream that an exchange was sent to last", () => {
    sent("ex_1", "k");
    sent("ex_1", "l");
    made("ex_1", "resp_1");
    expect(affinity.find("p", "resp_1")?.apiKey).toBe("l");
  });

  test("remembers nothing of a turn without an id", () => {
    sent("ex_1", "k");
    made("ex_1", null);
    expect(affinity.find("p", "null")).toBeNull();
  });

  test("remembers nothing of endpoints whose answers nobody asks for again", () => {
    sent("ex_1", "k", "/v1/chat/completions");
    made("ex_1", "chatcmpl_1", "one", "/v1/chat/completions");
    expect(affinity.find("p", "chatcmpl_1")).toBeNull();
    made("ex_1", "resp_1");
    expect(affinity.find("p", "resp_1")?.apiKey).toBeNull();
  });

  test("forgets what was used longest ago", () => {
    for (const id of ["1", "2", "3"]) made("ex_1", `resp_${id}`);
    expect(["1", "2", "3"].map((id) => affinity.find("p", `resp_${id}`) !== null)).toEqual([
      false,
      true,
      true,
    ]);
  });
});

test.each([
  ["GET", "/v1/responses/resp_1", "resp_1"],
  ["DELETE", "/v1/responses/resp_1", "resp_1"],
  ["POST", "/v1/responses/resp_1/cancel", "resp_1"],
  ["POST", "/v1/responses", null],
  ["GET", "/v1/models/resp_1", null],
])("responseOfPath() of %s %s is %p", (method, path, expected) => {
  const request = { method, path, host: "x", upgrade: false, headers: new Headers() };
  const route = resolve(request, buildTable([one], null), () => openai);
  expect(responseOfPath(route)).toBe(expected);
});
