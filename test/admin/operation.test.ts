import { expect, test } from "bun:test";
import { Hono } from "hono";
import { type Call, newCall } from "../../src/admin/call.ts";
import { NO_FIELDS, operation, type Operation } from "../../src/admin/operation.ts";
import type { AdminConfig } from "../../src/config/config.ts";
import { Problem } from "../../src/admin/problem.ts";

type Role = AdminConfig["role"];

const TOKEN = { name: "alice", token: "t" };

/** Runs an operation at `/things/:id`. @returns its answer as JSON, or the problem's code */
async function run(one: Operation, path: string, init: RequestInit = {}, role: Role = "admin") {
  const app = new Hono<{ Bindings: Call }>();
  app.all("/things/:id", one.handle);
  app.onError((error) => Response.json(error instanceof Problem ? error.code : String(error)));
  const request = new Request(`http://127.0.0.1${path}`, { method: "POST", ...init });
  const call: Call = { ...newCall(request, "192.0.2.7"), admin: { ...TOKEN, role } };
  const response = await app.fetch(request, call);
  return { answer: await response.json(), call };
}

const change = operation(
  {
    summary: "A change",
    query: ["a"],
    body: { required: {}, optional: { on: "boolean" } },
    answer: [200, null],
    change: { action: "project.update", subject: "thing:{id}" },
  },
  ({ query, body, by }) => Response.json({ query, body, subject: by.subject, action: by.action }),
);

const JSON_BODY = { headers: { "content-type": "application/json" } };

test("operation() reads query and body, and names what is changed", async () => {
  const { answer } = await run(change, "/things/7?a=1", { ...JSON_BODY, body: '{"on":true}' });
  expect(answer).toEqual({
    query: { a: "1" },
    body: { on: true },
    subject: "thing:7",
    action: "project.update",
  });
});

test("operation() names the call also where it refuses a parameter or field", async () => {
  const query = await run(change, "/things/7?b=1");
  expect(query.answer).toBe("unknown_field");
  expect([query.call.action, query.call.subject]).toEqual(["project.update", "thing:7"]);
  const body = await run(change, "/things/7", { ...JSON_BODY, body: '{"off":true}' });
  expect(body.answer).toBe("unknown_field");
});

test("operation() lets a viewer read and change nothing", async () => {
  const read = operation({ summary: "Read", answer: [200, null] }, () => Response.json("read"));
  expect((await run(read, "/things/7", {}, "viewer")).answer).toBe("read");
  expect((await run(change, "/things/7", {}, "viewer")).answer).toBe("forbidden");
});

test("operation() leaves a body alone that it has no use for", async () => {
  const none = operation({ summary: "None", answer: [200, null] }, () => Response.json("none"));
  expect((await run(none, "/things/7", { body: "not JSON" })).answer).toBe("none");
  const empty = operation({ summary: "Empty", body: NO_FIELDS, answer: [200, null] }, () =>
    Response.json("empty"),
  );
  expect((await run(empty, "/things/7")).answer).toBe("empty");
  const filled = await run(empty, "/things/7", { ...JSON_BODY, body: '{"a":1}' });
  expect(filled.answer).toBe("unknown_field");
});

test("operation() names what a refused change was about by the fields that were sent", async () => {
  const asking = operation(
    {
      summary: "Asks",
      body: { required: {}, optional: { a: "text", b: "text" } },
      answer: [200, null],
      change: { action: "revocation.add", subject: "", asked: ["a:{a}", "b:{b}"] },
    },
    () => Response.json("done"),
  );
  const subjectOf = async (body: string, role: Role = "admin") =>
    (await run(asking, "/things/7", { ...JSON_BODY, body }, role)).call.subject;
  expect(await subjectOf('{"b":"2","c":1}')).toBe("b:2");
  expect(await subjectOf('{"a":"1","b":"2"}')).toBe("a:1");
  expect(await subjectOf('{"a":"1","b":"2"}', "viewer")).toBe("a:1");
  for (const body of ['{"a":1}', '{"a":"x\\n"}', '{"a":" "}', "[]", "null", "{"]) {
    expect(await subjectOf(body)).toBe("");
    expect(await subjectOf(body, "viewer")).toBe("");
  }
});
