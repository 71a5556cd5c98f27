/** `openapi.json` against the routes that answer, both ways, and against the contract. */

import { describe, expect, test } from "bun:test";
import { type AdminSetup, setUpAdmin, VIEWER_TOKEN } from "../support/admin.ts";
import { ApiDocument } from "../support/openapi.ts";

const RESTRICTIONS = ["models", "endpoints", "tiers", "limits"];

/** The contract: every operation with the fields that its body may have. */
const OPERATIONS: Readonly<Record<string, readonly string[]>> = {
  "GET /manage/projects": [],
  "POST /manage/projects": ["name", "api_key", "provider", ...RESTRICTIONS],
  "GET /manage/projects/{id}": [],
  "PATCH /manage/projects/{id}": [
    "name",
    "api_key",
    "provider",
    "is_active",
    "revoke_tokens",
    ...RESTRICTIONS,
  ],
  "DELETE /manage/projects/{id}": [],
  "GET /manage/projects/{id}/credentials": [],
  "POST /manage/projects/{id}/credentials": ["provider", "api_key", "label"],
  "DELETE /manage/projects/{id}/credentials/{credential}": [],
  "POST /manage/projects/{id}/tokens/revoke": [],
  "GET /manage/tokens": [],
  "POST /manage/tokens": [
    "project_id",
    "duration_minutes",
    "label",
    "max_requests",
    ...RESTRICTIONS,
  ],
  "GET /manage/tokens/{id}": [],
  "PATCH /manage/tokens/{id}": ["label", "is_active", "max_requests", "limits"],
  "DELETE /manage/tokens/{id}": [],
  "GET /manage/revocations": [],
  "POST /manage/revocations": ["jti", "project_id", "issued_before"],
  "GET /manage/usage/events": [],
  "GET /manage/sessions": [],
  "DELETE /manage/sessions/{id}": [],
  "GET /manage/providers": [],
  "GET /manage/status": [],
  "POST /manage/keys/rotate": [],
  "GET /manage/keys/signing": [],
  "POST /manage/keys/signing/rotate": [],
  "GET /manage/audit": [],
  "GET /manage/audit/verify": [],
  "GET /manage/policies/service-tier": [],
  "PUT /manage/policies/service-tier": ["rules", "unknown_tier"],
  "DELETE /manage/policies/service-tier": [],
  "GET /manage/policies/service-tier/versions": [],
  "GET /manage/policies/service-tier/versions/{version}": [],
  "POST /manage/policies/service-tier/restore": ["version"],
  "POST /manage/policies/service-tier/evaluate": [
    "tier",
    "model",
    "project_id",
    "token_id",
    "credential_kind",
    "policy",
  ],
  "GET /manage/openapi.json": [],
};

/** Operations that change nothing, whatever their method. */
const READING_POSTS = ["POST /manage/policies/service-tier/evaluate"];

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"];

async function documentOf({ request }: AdminSetup): Promise<ApiDocument> {
  return new ApiDocument(await (await request("GET", "/manage/openapi.json")).json());
}

describe("openApiRoutes()", () => {
  test("describes every operation and no other", async () => {
    const document = await documentOf(await setUpAdmin());
    expect(document.operations().toSorted()).toEqual(Object.keys(OPERATIONS).toSorted());
  });

  test.each(Object.entries(OPERATIONS))("describes the body of %s", async (name, fields) => {
    const document = await documentOf(await setUpAdmin());
    const [method = "", path = ""] = name.split(" ");
    expect(document.bodyFields(method, path.replace(/\{\w+\}/g, "x"))).toEqual([...fields]);
  });

  test.each([...new Set(Object.keys(OPERATIONS).map((name) => name.split(" ")[1] ?? ""))])(
    "names the methods that %s answers",
    async (path) => {
      const { request } = await setUpAdmin();
      for (const method of METHODS) {
        const isDescribed = Object.hasOwn(OPERATIONS, `${method} ${path}`);
        const { status } = await request(method, path.replace(/\{\w+\}/g, "x"), {
          no_such_field: 1,
        }).catch(() => request(method, path.replace(/\{\w+\}/g, "x")));
        expect([method, status !== 405]).toEqual([method, isDescribed]);
      }
    },
  );

  test.each(Object.keys(OPERATIONS))("lets a viewer call %s only if it reads", async (name) => {
    const { request, store } = await setUpAdmin();
    const [method = "", path = ""] = name.split(" ");
    const viewer = { token: VIEWER_TOKEN };
    const response = await request(method, path.replace(/\{\w+\}/g, "x"), undefined, viewer);
    const isReading = method === "GET" || READING_POSTS.includes(name);
    expect(response.status === 403).toBe(!isReading);
    expect(store.audit.map(({ action }) => action === "request")).toEqual(isReading ? [] : [false]);
  });

  test("says what is required, how long, and how many", async () => {
    const { request } = await setUpAdmin();
    const document = await (await request("GET", "/manage/openapi.json")).json();
    const body = document.paths["/manage/tokens"].post.requestBody;
    const schema = body.content["application/json"].schema;
    expect(body.required).toBe(true);
    expect(schema.required).toEqual(["project_id", "duration_minutes"]);
    expect(schema.properties.label).toEqual({
      type: ["string", "null"],
      minLength: 1,
      maxLength: 200,
    });
    expect(schema.properties.models).toMatchObject({ minItems: 1, maxItems: 100 });
    expect(schema.properties.limits.properties.session_turns.type).toEqual(["integer", "null"]);
    expect(document.openapi).toBe("3.1.0");
    expect(document.paths["/manage/tokens/{id}"].parameters).toEqual([
      { name: "id", in: "path", required: true, schema: { type: "string" } },
    ]);
  });

  test("names If-Match where it is honoured, and ETag where there is one", async () => {
    const { request } = await setUpAdmin();
    const { paths } = await (await request("GET", "/manage/openapi.json")).json();
    const { get, put } = paths["/manage/policies/service-tier"];
    const parameter = { in: "header", required: false, schema: { type: "string" } };
    expect(put.parameters).toEqual([{ name: "If-Match", ...parameter }]);
    expect(put.responses["200"].headers).toEqual({ ETag: { schema: { type: "string" } } });
    expect(get.parameters).toBeUndefined();
    expect(get.responses["200"].headers).toBeDefined();
    expect(paths["/manage/projects"].get.responses["200"].headers).toBeUndefined();
  });

  test("refers to nothing that is not there", async () => {
    const { request } = await setUpAdmin();
    const text = await (await request("GET", "/manage/openapi.json")).text();
    const { schemas } = JSON.parse(text).components;
    const names = [...text.matchAll(/#\/components\/schemas\/(\w+)/g)].map(([, name]) => name);
    expect(names.length).toBeGreaterThan(30);
    expect(names.filter((name) => schemas[name ?? ""] === undefined)).toEqual([]);
  });
});
