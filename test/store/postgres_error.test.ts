import { expect, test } from "bun:test";

import { databaseError, DatabaseError } from "../../src/store/postgres_error.ts";

const ADDRESS = { hostname: "db.example", port: 5432 };

function withCode(code: string, message = "it failed"): Error {
  return Object.assign(new Error(message), {
    code,
    query: "SELECT secret",
    parameters: ["s3cret"],
  });
}

test("databaseError() keeps message and code, names the server, and nothing else", () => {
  const error = databaseError(withCode("42P01"), ADDRESS);
  expect(error.message).toBe("PostgreSQL at db.example:5432: it failed (42P01)");
  expect(Object.keys(error).toSorted()).toEqual(["code", "name"]);
  expect(error.cause).toBeUndefined();
  expect(databaseError(error, ADDRESS)).toBe(error);
});

test("databaseError() of a name with several addresses is that of the first", () => {
  const failed = new AggregateError([withCode("ECONNREFUSED", "refused"), withCode("EPIPE")]);
  expect(databaseError(failed, ADDRESS)).toMatchObject({ code: "ECONNREFUSED" });
  expect(databaseError("odd", { hostname: "::1", port: 1 }).message).toBe(
    "PostgreSQL at [::1]:1: odd (UNKNOWN)",
  );
});

test.each([
  ["CONNECTION_CLOSED", "CONNECTION_LOST"],
  ["CONNECTION_DESTROYED", "CONNECTION_LOST"],
  ["ECONNREFUSED", "ECONNREFUSED"],
  ["ENOTFOUND", "ENOTFOUND"],
  ["08006", "08006"],
  ["57P03", "57P03"],
  ["53300", "53300"],
])("%s means that the server is not there", (code, ours) => {
  const error = databaseError(withCode(code), ADDRESS);
  expect(error).toMatchObject({ code: ours, isUnreachable: true, spoilsConnection: true });
  expect(error.isRepeatable).toBe(false);
});

test.each([
  ["28P01", false, false],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", false, false],
  ["NO_TLS", false, false],
  ["23505", false, true],
  ["40001", false, true],
  ["40P01", false, true],
  ["25006", true, false],
])("%s does not: spoils the connection %p, repeatable %p", (code, spoils, isRepeatable) => {
  const error = new DatabaseError(ADDRESS, code, "x");
  expect(error.isUnreachable).toBe(false);
  expect([error.spoilsConnection, error.isRepeatable]).toEqual([spoils, isRepeatable]);
});
