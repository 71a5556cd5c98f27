import { beforeEach, expect, test } from "bun:test";

import { Pool, type PoolMember } from "../../src/store/postgres_pool.ts";
import { FakeClock } from "../support/fake_clock.ts";

class Member implements PoolMember {
  isUsable = true;
  end = "";
  close(): void {
    this.end = "closed";
  }
  destroy(): void {
    this.end = "destroyed";
  }
}

let clock: FakeClock;
let members: Member[];
let pool: Pool<Member>;
let fails: boolean;

beforeEach(() => {
  clock = new FakeClock();
  members = [];
  fails = false;
  pool = new Pool<Member>({
    sizeMax: 2,
    waitMs: 1_000,
    idleTimeoutMs: 60_000,
    clock,
    async open() {
      if (fails) throw new Error("cannot open");
      const member = new Member();
      members.push(member);
      return member;
    },
    refuse: (reason) => new Error(reason),
  });
});

/** Uses a member until `done` is called. */
function hold() {
  const { promise, resolve } = Promise.withResolvers<void>();
  const used = pool.use(async (member) => {
    await promise;
    return member;
  });
  return { done: resolve, used };
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

test("use() gives a member to one at a time, no more than its size opens, in order", async () => {
  const [one, two, three, four] = [hold(), hold(), hold(), hold()];
  await settled();
  expect(members).toHaveLength(2);
  two.done();
  three.done();
  expect(await three.used).toBe(await two.used);
  four.done();
  expect(await four.used).toBe(await two.used);
  one.done();
  await one.used;
  expect([pool.size, members.length]).toEqual([2, 2]);
  pool.close();
  expect(clock.pendingTimers).toBe(0);
});

test("use() refuses who waited too long, and serves those behind", async () => {
  const [one, two] = [hold(), hold()];
  await settled();
  const late = pool.use(async () => "late").catch(String);
  clock.advance(500);
  const behind = pool.use(async () => "served");
  clock.advance(500);
  expect(await late).toBe("Error: busy");
  one.done();
  expect(await behind).toBe("served");
  two.done();
});

test("use() gives its place back when no member can be opened, and when `run` fails", async () => {
  fails = true;
  for (let round = 0; round < 5; round += 1) {
    expect(await pool.use(async () => "ran").catch(String)).toBe("Error: cannot open");
  }
  fails = false;
  for (let round = 0; round < 5; round += 1) {
    const failed = pool.use(() => Promise.reject(new Error("run failed")));
    expect(await failed.catch(String)).toBe("Error: run failed");
  }
  expect(members).toHaveLength(1);
});

test("use() refuses at once when too many wait", async () => {
  const running = [hold(), hold()];
  const waiting = Array.from({ length: 1_000 }, () => pool.use(async () => "ran").catch(String));
  expect(await pool.use(async () => "ran").catch(String)).toBe("Error: busy");
  for (const { done } of running) done();
  expect(new Set(await Promise.all(waiting))).toEqual(new Set(["ran"]));
});

test("a member that is of no use is never handed out again", async () => {
  const first = await pool.use(async (member) => {
    member.isUsable = false;
    return member;
  });
  const second = await pool.use(async (member) => member);
  expect(second).not.toBe(first);
  second.isUsable = false;
  expect(await pool.use(async (member) => member)).not.toBe(second);
  expect(pool.size).toBe(1);
});

test("a member that nobody needs is closed, and so is one that is old", async () => {
  const first = await pool.use(async (member) => member);
  clock.advance(59_999);
  expect(first.end).toBe("");
  clock.advance(1);
  expect([first.end, pool.size]).toEqual(["closed", 0]);
  const second = await pool.use(async (member) => member);
  for (let minute = 0; minute < 31; minute += 1) {
    clock.advance(59_000);
    await pool.use(async () => undefined);
  }
  expect(second.end).toBe("closed");
});

test("dropIdle() ends those that are not in use", async () => {
  const running = hold();
  const idle = await pool.use(async (member) => member);
  pool.dropIdle();
  expect([idle.end, members[0]?.end, pool.size]).toEqual(["destroyed", "", 1]);
  running.done();
  expect(await running.used).toBe(members[0] ?? idle);
});

test("close() ends all of them, refuses who waits, and whoever comes later", async () => {
  const [one, two] = [hold(), hold()];
  const waiting = pool.use(async () => "ran").catch(String);
  await settled();
  pool.close();
  pool.close();
  expect(await waiting).toBe("Error: closed");
  expect(await pool.use(async () => "ran").catch(String)).toBe("Error: closed");
  expect(members.map(({ end }) => end)).toEqual(["destroyed", "destroyed"]);
  one.done();
  two.done();
  await Promise.all([one.used, two.used]);
  expect([pool.size, clock.pendingTimers]).toEqual([0, 0]);
});

test("close() ends a member that is still being opened", async () => {
  const opening = pool.use(async () => "ran").catch(String);
  pool.close();
  expect(await opening).toBe("Error: closed");
  await settled();
  expect(members[0]?.end).toBe("destroyed");
});
