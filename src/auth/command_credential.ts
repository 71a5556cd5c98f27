/**
 * Credentials that a command prints: run beside the traffic, kept for a while, renewed in time.
 *
 * Owns: when each command runs, how long its output counts, what is wrong with it.
 * Does not own: the process (`runtime/command.ts`), or the header that the credential goes into.
 * Invariant: a command never runs twice at once; no request starts one but the first, the one after
 * a pause of the whole machine and the one whose credential was refused; neither the command nor
 * its output stands in a message.
 */

import type { CommandConfig, CredentialConfig, ProviderConfig } from "../config/config.ts";
import { headerSecret } from "../config/scalars.ts";
import { partsOf } from "../config/secret_text.ts";
import { GatewayError } from "../errors.ts";
import type { Clock, Timer } from "../runtime/clock.ts";
import { CommandFailed } from "../runtime/command.ts";
import type { MaybePromise } from "../runtime/runtime.ts";

/** How long before its end a credential is renewed, where its life is long enough. */
const LEAD_MS_MAX = 30_000;

/** From a failure to the next run, and between two runs because of refusals. */
const PAUSE_MS = 5_000;

interface CommandCredentialsOptions {
  readonly providers: readonly ProviderConfig[];
  readonly clock: Clock;
  /** What the command prints. @throws CommandFailed */
  run(command: string, signal: AbortSignal): Promise<string>;
  /** Hears of each run of a provider's command that failed. */
  onFailure(provider: string, reason: string): void;
}

/** The commands of a configuration. All of them start at once, and run again until `stop`. */
export class CommandCredentials {
  readonly #abort = new AbortController();
  readonly #credentials: ReadonlyMap<CommandConfig, CommandCredential>;
  #secrets: readonly string[] | null = null;

  constructor(options: CommandCredentialsOptions) {
    const onChange = () => {
      this.#secrets = null;
    };
    this.#credentials = new Map(
      options.providers.flatMap((provider) =>
        commandsOf(provider).map((config) => [
          config,
          new CommandCredential(options, provider.name, config, onChange, this.#abort.signal),
        ]),
      ),
    );
  }

  /**
   * The credential as it was printed last. Not a promise where it is there.
   * @throws GatewayError `upstream_auth_failed`: there is none that still counts
   */
  value(config: CommandConfig): MaybePromise<string> {
    return this.#of(config).value();
  }

  /** The credential where it is there already; null: it is not, or it has ended. */
  current(config: CommandConfig): string | null {
    return this.#of(config).current();
  }

  /**
   * The upstream refused `refused`: runs the command now, unless that has been done.
   * @returns whether there is another credential than the one refused
   */
  renew(config: CommandConfig, refused: string): Promise<boolean> {
    return this.#of(config).renew(refused);
  }

  /** The credentials of now and the ones before, for the log to keep out. */
  secrets(): readonly string[] {
    this.#secrets ??= [...this.#credentials.values()].flatMap((one) => one.secrets());
    return this.#secrets;
  }

  /** Ends what runs, and runs nothing more. */
  stop(): void {
    this.#abort.abort();
    for (const one of this.#credentials.values()) one.stop();
  }

  #of(config: CommandConfig): CommandCredential {
    const found = this.#credentials.get(config);
    if (found === undefined) throw new Error("The command is not one of this configuration");
    return found;
  }
}

/** Whether a credential is to be printed by a command. */
export function isCommand(credential: CredentialConfig | null): credential is CommandConfig {
  return typeof credential === "object" && credential !== null;
}

function commandsOf({ apiKeys, authValue }: ProviderConfig): CommandConfig[] {
  return [...apiKeys.map(({ key }) => key), authValue].filter(isCommand);
}

class CommandCredential {
  readonly #options: CommandCredentialsOptions;
  readonly #provider: string;
  readonly #config: CommandConfig;
  readonly #onChange: () => void;
  readonly #signal: AbortSignal;
  #value: string | null = null;
  /** Requests that began with it may still be under way. */
  #former: string | null = null;
  #endsAtMs = 0;
  /** Why the last run came to nothing; null: it did not. */
  #failure: string | null = null;
  #flight: Promise<void> | null = null;
  #timer: Timer | null = null;
  #renewedAtMs = -Infinity;

  constructor(
    options: CommandCredentialsOptions,
    provider: string,
    config: CommandConfig,
    onChange: () => void,
    signal: AbortSignal,
  ) {
    this.#options = options;
    this.#provider = provider;
    this.#config = config;
    this.#onChange = onChange;
    this.#signal = signal;
    void this.#run();
  }

  current(): string | null {
    return this.#options.clock.monotonicMs() < this.#endsAtMs ? this.#value : null;
  }

  value(): MaybePromise<string> {
    return this.current() ?? this.#awaited();
  }

  async renew(refused: string): Promise<boolean> {
    if (this.#isOther(refused)) return true;
    if (this.#flight === null) {
      const nowMs = this.#options.clock.monotonicMs();
      // Whoever is refused what was printed just now is not helped by printing it again.
      if (nowMs - this.#renewedAtMs < PAUSE_MS) return false;
      this.#renewedAtMs = nowMs;
    }
    await this.#run();
    return this.#isOther(refused);
  }

  secrets(): string[] {
    return [this.#value, this.#former].flatMap((one) => (one === null ? [] : partsOf(one)));
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #isOther(refused: string): boolean {
    const current = this.current();
    return current !== null && current !== refused;
  }

  async #awaited(): Promise<string> {
    // After a failure the timer tries again; requests must not do so as fast as they come.
    if (this.#flight !== null || this.#failure === null) await this.#run();
    const value = this.current();
    if (value !== null) return value;
    const reason = this.#failure ?? "printed a credential that has ended";
    throw new GatewayError("upstream_auth_failed", {
      message: `There is no credential for provider ${this.#provider}: its command ${reason}`,
    });
  }

  /** Starts the command, or joins the run that is under way. Never rejects. */
  #run(): Promise<void> {
    this.#flight ??= this.#runOnce().finally(() => {
      this.#flight = null;
    });
    return this.#flight;
  }

  async #runOnce(): Promise<void> {
    this.#timer?.cancel();
    try {
      const printed = await this.#options.run(this.#config.command, this.#signal);
      this.#keep(credentialOf(printed));
      this.#failure = null;
    } catch (thrown) {
      this.#failure = thrown instanceof CommandFailed ? thrown.message : "could not be run";
      if (!this.#signal.aborted) this.#options.onFailure(this.#provider, this.#failure);
    }
    if (this.#signal.aborted) return;
    this.#timer = this.#options.clock.after(this.#pauseMs(), () => void this.#run());
  }

  #keep(value: string): void {
    const { clock } = this.#options;
    this.#endsAtMs = clock.monotonicMs() + this.#config.ttlMs;
    if (value === this.#value) return;
    this.#former = this.#value;
    this.#value = value;
    this.#onChange();
  }

  #pauseMs(): number {
    if (this.#failure !== null) return PAUSE_MS;
    const { ttlMs } = this.#config;
    return ttlMs - Math.min(ttlMs / 4, LEAD_MS_MAX);
  }
}

/** @throws CommandFailed it can stand in no header */
function credentialOf(printed: string): string {
  const trimmed = printed.trim();
  if (trimmed === "") throw new CommandFailed("printed nothing");
  const credential = headerSecret.convert(trimmed);
  if (credential !== undefined) return credential;
  throw new CommandFailed("printed what does not fit into a header, as one line of ASCII would");
}
