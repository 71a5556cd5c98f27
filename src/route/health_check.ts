/**
 * Asks every upstream, again and again, whether it is healthy.
 *
 * Owns: the rounds, the request of a check and its time limit, what makes it a success.
 * Does not own: what follows from it (`health.ts`), or the credential.
 * Invariant: checks run beside each other and beside the traffic, each with its own time limit,
 * which ends before the next round; nothing is left running after `cancel`.
 */

import type { ProviderConfig } from "../config/config.ts";
import type { Clock, Timer } from "../runtime/clock.ts";
import type { Fetch, Runtime } from "../runtime/runtime.ts";
import type { Health } from "./health.ts";
import type { Slot } from "./table.ts";
import { upstreamRoute, upstreamUrl } from "./target.ts";

/** OpenProxy's. */
const CHECK_MS_MAX = 30_000;

type Pairs = readonly (readonly [string, string])[];

interface HealthCheckOptions {
  readonly slots: readonly Slot[];
  readonly intervalMs: number;
  readonly health: Pick<Health, "checked">;
  readonly clock: Clock;
  readonly connect: Runtime["connect"];
  fetchOf(provider: ProviderConfig): Fetch;
  /** The credential as headers; null: there is none to send, so no request can show anything. */
  credentialOf(slot: Slot): Pairs | null;
}

/** Checks at once and then every `intervalMs`, until it is cancelled. */
export function startHealthChecks(options: HealthCheckOptions): Timer {
  const running = new Set<AbortController>();
  const round = () => {
    for (const slot of options.slots) void check(options, slot, running);
  };
  round();
  const timer = options.clock.every(options.intervalMs, round);
  return {
    cancel() {
      timer.cancel();
      for (const controller of running) controller.abort();
    },
  };
}

async function check(
  options: HealthCheckOptions,
  slot: Slot,
  running: Set<AbortController>,
): Promise<void> {
  const controller = new AbortController();
  running.add(controller);
  let isLate = false;
  const timer = options.clock.after(Math.min(CHECK_MS_MAX, options.intervalMs), () => {
    isLate = true;
    controller.abort();
  });
  const isHealthy = await probe(options, slot, controller.signal);
  timer.cancel();
  running.delete(controller);
  // Cancelled: nobody wants to know any more.
  if (isLate || !controller.signal.aborted) options.health.checked(slot, isHealthy);
}

async function probe(
  options: HealthCheckOptions,
  slot: Slot,
  signal: AbortSignal,
): Promise<boolean> {
  const { provider } = slot;
  const credential = options.credentialOf(slot);
  if (provider.probe === null || credential === null) {
    return await opens(options.connect, provider, signal);
  }
  const { method, path, body, headers } = provider.probe;
  const [pathname = "/", query = ""] = path.split(/\?(.*)/s);
  try {
    const fetch = options.fetchOf(provider);
    const response = await fetch(upstreamUrl(provider, pathname, query), {
      method,
      body,
      headers: headersOf([...Object.entries(provider.headersInject), ...credential, ...headers]),
      redirect: "manual",
      signal,
      decompress: false,
      timeout: false,
    });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

/** A later pair takes the place of an earlier one. */
function headersOf(pairs: Pairs): Headers {
  const headers = new Headers();
  for (const [name, value] of pairs) headers.set(name, value);
  return headers;
}

/** Whether a connection comes about, with TLS where the provider has it. */
function opens(
  connect: Runtime["connect"],
  provider: ProviderConfig,
  signal: AbortSignal,
): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const giveUp = connect(upstreamRoute(provider), {
    opened(stream) {
      resolve(true);
      stream.terminate();
    },
    data() {},
    drained() {},
    closed: () => resolve(false),
  });
  signal.addEventListener("abort", () => {
    resolve(false);
    giveUp();
  });
  return promise;
}
