/** Against servers that are none: what a real one does with TLS is in postgres.test.ts. */

import { afterEach, expect, test } from "bun:test";
import { createServer, type Server, type Socket } from "node:net";

import { openDatabaseSocket } from "../../src/store/postgres_socket.ts";
import { FakeClock } from "../support/fake_clock.ts";

const TRUST = { verify: true, ca: null, serverName: "localhost" };

let server: Server | null = null;
let accepted: Socket[] = [];

afterEach(() => {
  for (const socket of accepted) socket.destroy();
  accepted = [];
  server?.close();
  server = null;
});

/** A server that says `answer` to the first bytes it gets; its target. */
async function serve(answer: string | null) {
  server = createServer((socket) => {
    accepted.push(socket);
    socket.on("error", () => undefined);
    socket.once("data", () => void (answer === null || socket.write(answer)));
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  return { hostname: "127.0.0.1", port, connectTimeoutMs: 1_000 };
}

test.each([
  ["N", "the server offers no TLS"],
  ["Sx", "the server offers no TLS"],
  ["E", "the server offers no TLS"],
])("openDatabaseSocket() goes no further after the answer %p", async (answer, message) => {
  const clock = new FakeClock();
  const failure = await openDatabaseSocket(await serve(answer), TRUST, clock).catch(String);
  expect(failure).toContain(message);
  expect(clock.pendingTimers).toBe(0);
});

test("openDatabaseSocket() waits for a silent server no longer than it may", async () => {
  const clock = new FakeClock();
  const target = await serve(null);
  const opening = openDatabaseSocket(target, TRUST, clock).catch(String);
  while (accepted.length === 0) await new Promise((resolve) => setImmediate(resolve));
  clock.advance(1_000);
  expect(await opening).toContain("no connection within 1000 ms (CONNECT_TIMEOUT)");
});

test("openDatabaseSocket() says who refuses, and leaves no timer", async () => {
  const target = await serve(null);
  server?.close();
  const clock = new FakeClock();
  const failure = await openDatabaseSocket(target, null, clock).catch(String);
  expect(failure).toContain(`PostgreSQL at 127.0.0.1:${target.port}: `);
  expect(failure).toContain("ECONNREFUSED");
  expect(clock.pendingTimers).toBe(0);
});

test("openDatabaseSocket() without TLS sends nothing of its own", async () => {
  const target = await serve("hello");
  const { socket, destroy } = await openDatabaseSocket(target, null, new FakeClock());
  const answer = new Promise((resolve) => socket.once("data", resolve));
  socket.write("x");
  expect(String(await answer)).toBe("hello");
  destroy();
  expect(socket.destroyed).toBe(true);
});
