import { expect, test } from "bun:test";

import { keepListening } from "../../src/store/postgres_watch.ts";
import { FakeClock } from "../support/fake_clock.ts";

/** A server that takes connections while it is there. */
class FakeServer {
  readonly clock = new FakeClock();
  readonly open: { end: (error: Error) => void; checks: number; isDestroyed: boolean }[] = [];
  attempts = 0;
  calls = 0;
  isThere = true;
  isFrozen = false;

  watch(): () => void {
    return keepListening({
      clock: this.clock,
      listening: () => void (this.calls += 1),
      open: async () => {
        this.attempts += 1;
        if (!this.isThere) throw new Error("connection refused");
        const { promise: ended, reject } = Promise.withResolvers<never>();
        ended.catch(() => undefined);
        const connection = { end: reject, checks: 0, isDestroyed: false };
        this.open.push(connection);
        return {
          ended,
          check: async () => {
            connection.checks += 1;
            if (this.isFrozen) reject(new Error("no answer"));
          },
          destroy: () => {
            connection.isDestroyed = true;
            reject(new Error("cut off"));
          },
        };
      },
    });
  }
}

/** Lets promises settle that wait for nothing. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

test("keepListening() calls after each opening, and opens again what has ended", async () => {
  const server = new FakeServer();
  const end = server.watch();
  await settle();
  expect(server).toMatchObject({ attempts: 1, calls: 1 });
  server.open[0]?.end(new Error("lost"));
  await settle();
  expect(server.open[0]?.isDestroyed).toBe(true);
  server.clock.advance(100);
  await settle();
  expect(server).toMatchObject({ attempts: 2, calls: 2 });
  end();
  await settle();
  expect(server.clock.pendingTimers).toBe(0);
});

test("keepListening() waits longer each time, up to 5 s, and little after a success", async () => {
  const server = new FakeServer();
  server.isThere = false;
  const end = server.watch();
  await settle();
  for (const pauseMs of [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]) {
    const { attempts } = server;
    server.clock.advance(pauseMs - 1);
    await settle();
    expect(server.attempts).toBe(attempts);
    server.clock.advance(1);
    await settle();
    expect(server.attempts).toBe(attempts + 1);
  }
  server.isThere = true;
  server.clock.advance(5_000);
  await settle();
  expect(server.calls).toBe(1);
  server.open[0]?.end(new Error("lost"));
  await settle();
  server.clock.advance(100);
  await settle();
  expect(server.calls).toBe(2);
  end();
});

test("keepListening() finds out that the server is gone without a word", async () => {
  const server = new FakeServer();
  const end = server.watch();
  await settle();
  server.clock.advance(10_000);
  await settle();
  expect(server.open[0]).toMatchObject({ checks: 1, isDestroyed: false });
  server.isFrozen = true;
  server.clock.advance(10_000);
  await settle();
  server.isFrozen = false;
  expect(server.open[0]?.isDestroyed).toBe(true);
  server.clock.advance(100);
  await settle();
  expect(server.calls).toBe(2);
  end();
});

test.each(["opening", "listening", "waiting"])("what ends it ends it while %s", async (when) => {
  const server = new FakeServer();
  server.isThere = when !== "waiting";
  const end = server.watch();
  if (when !== "opening") await settle();
  const { calls } = server;
  end();
  await settle();
  server.clock.advance(60_000);
  await settle();
  expect(server).toMatchObject({ attempts: 1, calls });
  expect(server.open.every((connection) => connection.isDestroyed)).toBe(true);
  expect(server.clock.pendingTimers).toBe(0);
});
