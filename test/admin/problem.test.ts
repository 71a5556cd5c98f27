import { describe, expect, test } from "bun:test";
import { notFound, Problem, problemResponse } from "../../src/admin/problem.ts";

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
