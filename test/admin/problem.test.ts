import { describe, expect, test } from "bun:test";
import { KeptProblem, notFound, Problem, problemResponse } from "../../src/admin/problem.ts";

describe("problemResponse()", () => {
  test("has error, code and description, the code's status and the problem's headers", async () => {
    const problem = new Problem("method_not_allowed", "No", "Do that", { allow: "GET" });
    const response = problemResponse(problem);
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("GET");
    expect(await response.json()).toEqual({
      error: "No",
      code: "method_not_allowed",
      description: "Do that",
    });
  });
});

test("KeptProblem says what is in force, what follows, and what to do", async () => {
  const response = problemResponse(new KeptProblem());
  expect(response.status).toBe(503);
  const { error, code, description } = await response.json();
  expect(code).toBe("store_unavailable");
  expect(error).toContain("In force on this node");
  expect(description).toContain("reaches the other nodes, as soon as the database answers");
  expect(description).toContain("Should this node stop before, send it again");
});

describe("notFound()", () => {
  test("quotes at most a hundred characters of what was asked for", () => {
    const problem = notFound("Token", `"\n${"x".repeat(500)}`, "/manage/tokens");
    expect(problem.message).toStartWith('Token "\\"\\nxxx');
    expect(problem.message.length).toBeLessThan(130);
    expect(problem.description).toBe("GET /manage/tokens lists what there is");
  });

  test("does not repeat what looks like a secret", () => {
    const problem = notFound("Token", "sk-sluice-eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJ4In0.c2ln", "/t");
    expect(problem.message).toBe('Token "[redacted]" not found');
  });
});
