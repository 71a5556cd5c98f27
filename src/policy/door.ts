/**
 * What a provider asks of a request beside its credential: the origin of the page, headers, and the
 * model where the URL names it.
 *
 * Owns: these checks and their refusals. Does not own: origins and answers to browsers (`cors.ts`),
 * parameters of bodies (`param_whitelist.ts`).
 * Invariant: a pure function of the request and the configuration. A request without an origin is
 * not a browser's, and passes as far as origins go.
 */

import type { ProviderConfig } from "../config/config.ts";
import { GatewayError } from "../errors.ts";
import { allowsOrigin, type Cors, type Origins } from "./cors.ts";
import { requireParam } from "./param_whitelist.ts";

/** What of a provider is looked at. */
type DoorRules = Pick<ProviderConfig, "allowedOrigins" | "requiredHeaders" | "paramWhitelist">;

/** The doors of several providers before one request, each tried when it comes into question. */
export class Doors {
  readonly #cors: Cors;
  readonly #headers: Headers;
  readonly #model: string | null;
  #refusal: unknown = null;
  #isOpen = false;

  /** @param model that the URL names; null: it names none */
  constructor(cors: Cors, headers: Headers, model: string | null) {
    this.#cors = cors;
    this.#headers = headers;
    this.#model = model;
  }

  /** Whether the provider takes the request. */
  takes(provider: DoorRules): boolean {
    try {
      requireDoor(provider, this.#cors.originsOf(provider), this.#headers, this.#model);
      this.#isOpen = true;
      return true;
    } catch (thrown) {
      this.#refusal ??= thrown;
      return false;
    }
  }

  /**
   * Runs a choice among the providers that take the request.
   * @throws GatewayError `origin_not_allowed`, `bad_request` or `param_not_allowed` where that is
   *   why there was nothing to choose; else what the choice throws
   */
  choose<T>(choice: () => T): T {
    try {
      return choice();
    } catch (thrown) {
      throw this.#isOpen || this.#refusal === null ? thrown : this.#refusal;
    }
  }
}

function requireDoor(
  { requiredHeaders, paramWhitelist }: DoorRules,
  origins: Origins,
  headers: Headers,
  model: string | null,
): void {
  if (origins !== null) requireOrigin(origins, headers.get("origin"));
  for (const [name, values] of requiredHeaders) requireHeader(name, values, headers.get(name));
  if (model !== null) requireParam(paramWhitelist, "model", model);
}

/** @throws GatewayError `origin_not_allowed` */
export function requireOrigin(origins: readonly string[], origin: string | null): void {
  if (origin === null || allowsOrigin(origins, origin)) return;
  throw new GatewayError("origin_not_allowed", {
    message: "Pages of this origin may not call here. The operator can add it to allowed_origins",
    headers: { vary: "Origin" },
  });
}

/** The values are not told: what is asked for may be a password of the operator's. */
function requireHeader(name: string, values: readonly string[], value: string | null): void {
  if (value === null || value === "") {
    throw new GatewayError("bad_request", { message: `The header ${name} is missing. Send it` });
  }
  if (values.length === 0 || values.includes(value)) return;
  throw new GatewayError("bad_request", {
    message: `The header ${name} has a value that is not allowed here`,
  });
}
