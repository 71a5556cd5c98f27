/** When commands run, how long what they printed counts, and what is said when they fail. */

import { beforeEach, describe, expect, test } from "bun:test";

import { CommandCredentials, isCommand } from "../../src/auth/command_credential.ts";
import type { CommandConfig, ProviderConfig } from "../../src/config/config.ts";
import { GatewayError } from "../../src/errors.ts";
import { CommandFailed } from "../../src/runtime/command.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { providerConfig } from "../support/provider_config.ts";

interface Run {
  readonly command: string;
  readonly signal: AbortSignal;
  print(text: string): Promise<void>;
  fail(error?: Error): Promise<void>;
}

const COMMAND: CommandConfig = { command: "print-key", ttlMs: 60_000 };
const LEAD_MS = 15_000;

let clock: FakeClock;
let runs: Run[];
let failures: string[];

beforeEach(() => {
  clock = new FakeClock();
  [runs, failures] = [[], []];
});

/** Lets what was settled be heard of. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

function start(providers: readonly ProviderConfig[] = [withKey(COMMAND)]): CommandCredentials {
  return new CommandCredentials({
    providers,
    clock,
    run(command, signal) {
      const { promise, resolve, reject } = Promise.withResolvers<string>();
      runs.push({
        command,
        signal,
        print: (text) => (resolve(text), settle()),
        fail: (error = new CommandFailed("ended with exit code 1")) => (reject(error), settle()),
      });
      return promise;
    },
    onFailure: (provider, reason) => void failures.push(`${provider}: ${reason}`),
  });
}

function withKey(...commands: CommandConfig[]): ProviderConfig {
  return providerConfig({ apiKeys: commands.map((key) => ({ key, weight: 1 })) });
}

function lastRun(): Run {
  const run = runs.at(-1);
  if (run === undefined) throw new Error("Nothing ran");
  return run;
}

/** Started, with a credential. */
async function started(text = "key-1"): Promise<CommandCredentials> {
  const credentials = start();
  await lastRun().print(text);
  return credentials;
}

async function refusalOf(credentials: CommandCredentials): Promise<string> {
  try {
    return `no refusal: ${await credentials.value(COMMAND)}`;
  } catch (thrown) {
    return thrown instanceof GatewayError ? `${thrown.code} ${thrown.message}` : String(thrown);
  }
}

describe("CommandCredentials", () => {
  test("runs every command of the providers at once, and no key that is text", () => {
    const second = { command: "second", ttlMs: 1_000 };
    start([
      providerConfig({
        apiKeys: [
          { key: "sk-text", weight: 1 },
          { key: COMMAND, weight: 1 },
        ],
      }),
      providerConfig({ authValue: second }),
    ]);
    expect(runs.map(({ command }) => command)).toEqual(["print-key", "second"]);
  });

  test("requests that come before it printed wait for the one run", async () => {
    const credentials = start();
    const values = Promise.all([credentials.value(COMMAND), credentials.value(COMMAND)]);
    await lastRun().print(" key-1\n\n");
    expect(await values).toEqual(["key-1", "key-1"]);
    expect(runs).toHaveLength(1);
  });

  test("is no promise once it is there, however often it is asked for", async () => {
    const credentials = await started();
    clock.advance(44_999);
    expect([credentials.value(COMMAND), credentials.value(COMMAND)]).toEqual(["key-1", "key-1"]);
    expect(runs).toHaveLength(1);
  });

  test("runs again before the credential ends, while requests take the old one", async () => {
    const credentials = await started();
    clock.advance(60_000 - LEAD_MS);
    expect(runs).toHaveLength(2);
    expect(credentials.value(COMMAND)).toBe("key-1");
    await lastRun().print("key-2");
    expect(credentials.value(COMMAND)).toBe("key-2");
  });

  test("begins at most half a minute before the end", async () => {
    const hour = { command: "hour", ttlMs: 3_600_000 };
    start([withKey(hour)]);
    await lastRun().print("key-1");
    clock.advance(3_569_999);
    expect(runs).toHaveLength(1);
    clock.advance(1);
    expect(runs).toHaveLength(2);
  });

  test("keeps the old one through failures until it has ended, then refuses", async () => {
    const credentials = await started();
    clock.advance(60_000 - LEAD_MS);
    await lastRun().fail();
    clock.advance(LEAD_MS - 1);
    expect([credentials.value(COMMAND), credentials.current(COMMAND)]).toEqual(["key-1", "key-1"]);
    await lastRun().fail();
    clock.advance(1);
    expect(credentials.current(COMMAND)).toBeNull();
    expect(await refusalOf(credentials)).toBe(
      "upstream_auth_failed There is no credential for provider openai: " +
        "its command ended with exit code 1",
    );
    expect(failures).toEqual(Array(2).fill("openai: ended with exit code 1"));
  });

  test("tries again five seconds after a failure, and never because of a request", async () => {
    const credentials = start();
    await lastRun().fail();
    await refusalOf(credentials);
    await refusalOf(credentials);
    expect(runs).toHaveLength(1);
    clock.advance(5_000);
    expect(runs).toHaveLength(2);
    await lastRun().print("key-1");
    expect(credentials.value(COMMAND)).toBe("key-1");
    clock.advance(60_000 - LEAD_MS - 1);
    expect(runs).toHaveLength(2);
  });

  test("runs for the request that comes after the credential ended unnoticed", async () => {
    const credentials = await started();
    const monotonicMs = clock.monotonicMs();
    // The machine slept: time went on and no timer fired.
    clock.monotonicMs = () => monotonicMs + 60_000;
    const value = credentials.value(COMMAND);
    expect(runs).toHaveLength(2);
    await lastRun().print("key-2");
    expect(await value).toBe("key-2");
  });

  test.each([
    ["", "printed nothing"],
    [" \n ", "printed nothing"],
    ["hunter2\nx-evil: 1", "printed what does not fit into a header"],
    ["schlüssel", "printed what does not fit into a header"],
  ])("takes no %p for a credential, and does not repeat it", async (printed, reason) => {
    const credentials = await started(printed);
    const refusal = await refusalOf(credentials);
    expect(refusal).toContain(`its command ${reason}`);
    expect(failures.join()).toContain(reason);
    expect(refusal + failures.join()).not.toMatch(/hunter2|schl/);
  });

  test("says nothing of an error that is not a command's own", async () => {
    const credentials = start();
    await lastRun().fail(new Error("hunter2"));
    expect(failures).toEqual(["openai: could not be run"]);
    expect(await refusalOf(credentials)).not.toContain("hunter2");
  });

  test("names every credential of now and the one before, in its parts, as a secret", async () => {
    const credentials = await started("Bearer 0123456789abcdef");
    expect(credentials.secrets()).toEqual(["Bearer 0123456789abcdef", "0123456789abcdef"]);
    expect(credentials.secrets()).toBe(credentials.secrets());
    clock.advance(45_000);
    await lastRun().print("key-2");
    expect(credentials.secrets()).toEqual(["key-2", "Bearer 0123456789abcdef", "0123456789abcdef"]);
    clock.advance(45_000);
    await lastRun().print("key-3");
    expect(credentials.secrets()).toEqual(["key-3", "key-2"]);
  });

  test("stop() ends what runs, starts nothing more and reports nothing", async () => {
    const credentials = start();
    credentials.stop();
    expect(lastRun().signal.aborted).toBe(true);
    await lastRun().fail();
    expect([failures, clock.pendingTimers]).toEqual([[], 0]);
    const other = await started();
    other.stop();
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("CommandCredentials.renew()", () => {
  test("runs once at once for all who were refused", async () => {
    const credentials = await started();
    const renewed = Promise.all([1, 2, 3].map(() => credentials.renew(COMMAND, "key-1")));
    expect(runs).toHaveLength(2);
    expect(credentials.value(COMMAND)).toBe("key-1");
    await lastRun().print("key-2");
    expect(await renewed).toEqual([true, true, true]);
    expect(credentials.value(COMMAND)).toBe("key-2");
  });

  test("runs nothing for a credential that has been replaced already", async () => {
    const credentials = await started();
    void credentials.renew(COMMAND, "key-1");
    await lastRun().print("key-2");
    expect(await credentials.renew(COMMAND, "key-1")).toBe(true);
    expect(runs).toHaveLength(2);
  });

  test("is in vain where the same is printed, and then waits before it runs again", async () => {
    const credentials = await started();
    const renewed = credentials.renew(COMMAND, "key-1");
    await lastRun().print("key-1");
    expect(await renewed).toBe(false);
    expect(await credentials.renew(COMMAND, "key-1")).toBe(false);
    expect(runs).toHaveLength(2);
    clock.advance(5_000);
    void credentials.renew(COMMAND, "key-1");
    expect(runs).toHaveLength(3);
  });

  test("joins the run that is under way", async () => {
    const credentials = await started();
    clock.advance(60_000 - LEAD_MS);
    const renewed = credentials.renew(COMMAND, "key-1");
    expect(runs).toHaveLength(2);
    await lastRun().print("key-2");
    expect(await renewed).toBe(true);
  });

  test("leaves the old one where the run fails", async () => {
    const credentials = await started();
    const renewed = credentials.renew(COMMAND, "key-1");
    await lastRun().fail();
    expect(await renewed).toBe(false);
    expect(credentials.value(COMMAND)).toBe("key-1");
  });
});

test("isCommand() tells a command from text and from nothing", () => {
  expect([COMMAND, "$(text)", null].map(isCommand)).toEqual([true, false, false]);
});
