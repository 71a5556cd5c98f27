/** Telling a dead host from a slow one. */

import { expect, test } from "bun:test";

import { Reachability } from "../../src/relay/reachability.ts";
import type { ConnectOptions, Runtime, Stream, StreamHandler } from "../../src/runtime/runtime.ts";
import { FakeClock } from "../support/fake_clock.ts";

/** A network in which the test says what becomes of a connection attempt. */
class Network {
  readonly clock = new FakeClock();
  readonly attempts: StreamHandler[] = [];
  readonly asked: ConnectOptions[] = [];
  terminated = 0;
  givenUp = 0;

  readonly connect: Runtime["connect"] = (options, handler) => {
    this.asked.push(options);
    this.attempts.push(handler);
    return () => {
      this.givenUp += 1;
      handler.closed(new Error("given up"));
    };
  };

  readonly stream: Stream = {
    write: () => 0,
    pause() {},
    resume() {},
    end() {},
    handOver() {},
    terminate: () => void (this.terminated += 1),
  };
}

const TARGET = { hostname: "up.example", port: 443, proxy: null };

test("check() is true when a connection opens, and for a while after", async () => {
  const network = new Network();
  const reachability = new Reachability(network.connect, network.clock);
  const [first, second] = [reachability.check(TARGET, 100), reachability.check(TARGET, 100)];
  await Promise.resolve();
  network.attempts[0]?.opened(network.stream);
  expect([await first, await second]).toEqual([true, true]);
  network.clock.advance(4_999);
  expect(await reachability.check(TARGET, 100)).toBe(true);
  expect([network.attempts.length, network.terminated, network.clock.pendingTimers]).toEqual([
    1, 1, 0,
  ]);
});

test("check() is false when nothing comes back in time, and asks again the next time", async () => {
  const network = new Network();
  const reachability = new Reachability(network.connect, network.clock);
  for (const round of [1, 2]) {
    const open = reachability.check(TARGET, 100);
    await Promise.resolve();
    network.clock.advance(100);
    expect(await open).toBe(false);
    expect([network.attempts.length, network.givenUp]).toEqual([round, round]);
  }
});

test("check() asks by the way that requests take, and remembers each by itself", async () => {
  const network = new Network();
  const reachability = new Reachability(network.connect, network.clock);
  const proxy = { hostname: "proxy.example", port: 3128, authorization: "Basic eA==" };
  const open = [TARGET, { ...TARGET, proxy }].map((target) => reachability.check(target, 100));
  await Promise.resolve();
  for (const attempt of network.attempts) attempt.opened(network.stream);
  expect(await Promise.all(open)).toEqual([true, true]);
  expect(network.asked).toEqual([
    { ...TARGET, tls: null },
    { ...TARGET, proxy, tls: null },
  ]);
});

test("check() takes a refusal for a sign of life", async () => {
  const network = new Network();
  const reachability = new Reachability(network.connect, network.clock);
  const open = reachability.check(TARGET, 100);
  await Promise.resolve();
  network.attempts[0]?.closed(new Error("refused"));
  expect(await open).toBe(true);
  expect(network.clock.pendingTimers).toBe(0);
});
