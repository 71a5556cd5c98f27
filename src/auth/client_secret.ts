/**
 * Client secrets: what a browser gets in the place of a key that a provider made for it, so that it
 * comes back through us.
 *
 *   ek_sluice-<JWT over {"use":"client_secret","sealed":"<ciphertext>"}>
 *
 * The ciphertext holds whose secret it is, as a token's claims say it, and the provider's key. It
 * is nobody else's business: the page that holds the secret learns neither project nor limits.
 *
 * Owns: making and opening them. Does not own: the keys (`token_ring.ts`, `store/cipher.ts`), or
 * whether its maker may still do what it could (`authenticate.ts`).
 * Invariant: a secret is no token and a token no secret: neither's text reads as the other's. It
 * ends no later than the credential that it was made with. It holds characters of a WebSocket
 * subprotocol only (RFC 7230, token), and no node has to remember it.
 */

import type { TokensConfig } from "../config/config.ts";
import { GatewayError } from "../errors.ts";
import type { ClientSecret, Principal } from "../exchange.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Tokens } from "./token.ts";
import { type Claims, readClaims, writeClaims } from "./token_claims.ts";
import { type Cipher, CLIENT_SECRET_BINDING } from "./vault.ts";

/** Begins as OpenAI's do, which clients may look at. */
const PREFIX = "ek_sluice-";

/** What the longest token that is accepted makes of itself, and room for the provider's key. */
export const SECRET_LENGTH_MAX = 14 * 1024;

/** Where a token has its id. Under `auth: open` there is none. */
const NO_ID = "open";

interface ClientSecretsOptions {
  readonly tokens: Pick<Tokens, "sign" | "payloadOf" | "isExpired">;
  readonly cipher: Cipher;
  readonly clock: Pick<Clock, "nowMs">;
  readonly config: Pick<TokensConfig, "issuer" | "audience">;
}

/** What is encrypted: kind of principal, provider, the provider's key, claims. */
type Sealed = readonly [kind: Principal["kind"], provider: string, key: string, claims: string];

export class ClientSecrets {
  readonly #options: ClientSecretsOptions;

  constructor(options: ClientSecretsOptions) {
    this.#options = options;
  }

  /**
   * A secret that stands for `secret.key` in the hands of whoever `principal` gives it to.
   * @param expiresAtMs of the provider's key; the principal's own end counts where it is earlier
   * @throws RangeError when it would be too long to be accepted
   */
  async make(principal: Principal, secret: ClientSecret, expiresAtMs: number): Promise<string> {
    const { tokens, cipher } = this.#options;
    const { kind } = principal;
    const { provider, key } = secret;
    const sealed: Sealed = [kind, provider, key, this.#claimsOf(principal, expiresAtMs)];
    const text = await cipher.encrypt(JSON.stringify(sealed), CLIENT_SECRET_BINDING);
    const made = PREFIX + (await tokens.sign(payloadOf(text)));
    if (made.length <= SECRET_LENGTH_MAX) return made;
    throw new RangeError(`A client secret of ${made.length} characters is too long`);
  }

  /** Whether this claims to be one. */
  recognizes(credential: string): boolean {
    return credential.startsWith(PREFIX);
  }

  /**
   * Whose secret this is.
   * @throws GatewayError `token_expired` for a genuine one whose time is over, else `token_invalid`
   */
  async open(secret: string): Promise<Principal> {
    const payload = await this.#options.tokens.payloadOf(secret.slice(PREFIX.length));
    const principal = payload === null ? null : await this.#principalIn(payload);
    if (principal === null) throw new GatewayError("token_invalid");
    if (this.#options.tokens.isExpired(principal)) throw new GatewayError("token_expired");
    return principal;
  }

  #claimsOf(principal: Principal, expiresAtMs: number): string {
    const { config, clock } = this.#options;
    const { projectId, tokenId, issuedAtMs, restrictions } = principal;
    const iat = Math.floor((issuedAtMs ?? clock.nowMs()) / 1000);
    const exp = Math.floor(Math.min(expiresAtMs, principal.expiresAtMs ?? expiresAtMs) / 1000);
    return writeClaims({
      iss: config.issuer,
      aud: config.audience,
      sub: projectId,
      jti: tokenId ?? NO_ID,
      iat,
      nbf: iat,
      exp,
      restrictions,
    });
  }

  /** Null: a text that we signed, and that is no client secret or not one of these nodes'. */
  async #principalIn(payload: string): Promise<Principal | null> {
    try {
      const ciphertext = sealedIn(payload);
      if (ciphertext === null) return null;
      const text = await this.#options.cipher.decrypt(ciphertext, CLIENT_SECRET_BINDING);
      const [kind, provider, key, claims]: Sealed = JSON.parse(text);
      return this.#principalOf(kind, readClaims(claims), { provider, key });
    } catch {
      return null;
    }
  }

  #principalOf(
    kind: Principal["kind"],
    { iss, aud, sub, jti, iat, exp, restrictions }: Claims,
    clientSecret: ClientSecret,
  ): Principal | null {
    const { issuer, audience } = this.#options.config;
    if (iss !== issuer || aud !== audience) return null;
    return {
      kind,
      projectId: sub,
      tokenId: kind === "open" ? null : jti,
      expiresAtMs: exp * 1000,
      // A key of the configuration has no such time, and is not revoked by it.
      issuedAtMs: kind === "token" ? iat * 1000 : null,
      restrictions,
      clientSecret,
    };
  }
}

function payloadOf(sealed: string): string {
  return JSON.stringify({ use: "client_secret", sealed });
}

/** The ciphertext; null: it is not written as ours are. @throws SyntaxError: it is no JSON */
function sealedIn(payload: string): string | null {
  const value: unknown = JSON.parse(payload);
  if (typeof value !== "object" || value === null || !("sealed" in value)) return null;
  const { sealed } = value;
  return typeof sealed === "string" && payloadOf(sealed) === payload ? sealed : null;
}
