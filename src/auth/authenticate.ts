/**
 * The first phase of an exchange: who is calling.
 *
 * Owns: the decision, from what was found (`credential.ts`), the configured keys, our tokens, the
 * revocation list and the projects. Does not own: any of these.
 * Invariant: a token that was verified before costs no promise, no signature and no database.
 */

import type { AuthMode, Config, ProviderConfig } from "../config/config.ts";
import { narrowLimits } from "../config/limits.ts";
import { type ErrorCode, GatewayError } from "../errors.ts";
import type {
  AllowLists,
  Limits,
  Principal,
  Restrictions,
  SubjectLimits,
  SubjectLists,
} from "../exchange.ts";
import type { MaybePromise } from "../runtime/runtime.ts";
import type { TokenOverrideRow } from "../store/store.ts";
import { type ClientSecrets, SECRET_LENGTH_MAX } from "./client_secret.ts";
import type { FoundCredentials } from "./credential.ts";
import { DEFAULT_PROJECT_ID, StaticKeys } from "./static_key.ts";
import { CREDENTIAL_LENGTH_MAX } from "./token.ts";

/** Who may use a provider. */
export interface Access {
  readonly auth: AuthMode;
  /** The global static keys and the provider's own. */
  readonly keys: StaticKeys;
}

/** Verifies tokens; see `Tokens`. */
interface TokenVerifier {
  cached(token: string): Principal | undefined;
  verify(token: string): Promise<Principal>;
  recognizes(credential: string): boolean;
  isExpired(principal: Principal): boolean;
}

/** What may have changed since a token was signed. Asked with every request: it must be quick. */
interface Standing {
  isRevoked(principal: Pick<Principal, "tokenId" | "projectId" | "issuedAtMs">): boolean;
  isActive(projectId: string): boolean;
  /** Of a token, by its `jti`. */
  overrideOf(jti: string): TokenOverrideRow | null;
  /** What a project may be used for, and how much; null where there is none. */
  restrictionsOf(projectId: string): Restrictions | null;
  /** Whether the revocations known are too old for tokens to be trusted. */
  isStale(): boolean;
}

/** The caller under `auth: open` who shows nothing of ours. */
const OPEN: Principal = {
  kind: "open",
  projectId: DEFAULT_PROJECT_ID,
  tokenId: null,
  expiresAtMs: null,
  issuedAtMs: null,
  restrictions: null,
};

const NO_LIMITS: Limits = {};
const NO_LISTS: readonly SubjectLists[] = [];

/** Who may use `provider` under `config`. Digests every key: make it once per configuration. */
export function accessOf(
  config: Pick<Config, "authKeys">,
  provider: Pick<ProviderConfig, "auth" | "authKeys">,
): Access {
  return { auth: provider.auth, keys: new StaticKeys([...config.authKeys, ...provider.authKeys]) };
}

export class Authenticator {
  readonly #tokens: TokenVerifier;
  readonly #secrets: Pick<ClientSecrets, "open" | "recognizes">;
  readonly #standing: Standing;

  constructor(
    tokens: TokenVerifier,
    secrets: Pick<ClientSecrets, "open" | "recognizes">,
    standing: Standing,
  ) {
    this.#tokens = tokens;
    this.#secrets = secrets;
    this.#standing = standing;
  }

  /**
   * Who is calling. Not a promise for a token that is in the cache, a static key, or nobody.
   * @throws GatewayError `token_missing` (407 where a proxy is asked), `token_invalid`,
   *   `token_expired`, `token_revoked`, `revocations_stale` or `project_inactive`
   */
  authenticate(found: FoundCredentials, access: Access): MaybePromise<Principal> {
    const credentials =
      access.auth === "open" ? this.#ours(found, access.keys) : found.credentials.map(valueOf);
    const [credential] = credentials;
    if (credential === undefined) {
      if (access.auth === "open") return this.#admit(OPEN);
      throw missing(found);
    }
    const isSecret = this.#secrets.recognizes(credential);
    const lengthMax = isSecret ? SECRET_LENGTH_MAX : CREDENTIAL_LENGTH_MAX;
    if (credentials.length > 1 || credential.length > lengthMax) {
      throw new GatewayError("token_invalid");
    }
    return isSecret ? this.#open(credential, access) : this.#identify(credential, access.keys);
  }

  /**
   * Whether a principal may go on. To be called again once an exchange is registered where
   * revocations reach it, because dialling takes time.
   * @throws GatewayError `token_expired`, `token_revoked`, `revocations_stale` or
   *   `project_inactive`
   */
  recheck(principal: Principal): void {
    const code = this.#refusal(principal);
    if (code !== null) throw new GatewayError(code, { subject: subjectOf(principal) });
  }

  /**
   * The limits that hold now, with whom they count for: those of the token, as signed and as
   * narrowed since, and those of its project. Only who has any is listed.
   */
  limits(principal: Principal): readonly SubjectLimits[] {
    const subjects: SubjectLimits[] = [];
    const { kind, tokenId, projectId, restrictions } = principal;
    if (kind === "token" && tokenId !== null) {
      const signed = restrictions?.limits ?? NO_LIMITS;
      const override = this.#standing.overrideOf(tokenId);
      const limits = override === null ? signed : narrowLimits(signed, override.limits);
      if (hasAny(limits)) subjects.push({ subject: `token:${tokenId}`, limits });
    }
    const limits = this.#standing.restrictionsOf(projectId)?.limits ?? NO_LIMITS;
    if (hasAny(limits)) subjects.push({ subject: `project:${projectId}`, limits });
    return subjects;
  }

  /**
   * The lists that hold now, each of them: those signed into the token, and those of its project.
   * To be asked for anew with each request and turn, as a project's change.
   */
  lists({ kind, tokenId, projectId, restrictions }: Principal): readonly SubjectLists[] {
    const project = this.#standing.restrictionsOf(projectId);
    const ofToken = kind === "token" && isRestricting(restrictions);
    const ofProject = isRestricting(project);
    if (!ofToken && !ofProject) return NO_LISTS;
    return [
      ...(ofToken ? [{ subject: `token:${tokenId}`, lists: restrictions }] : []),
      ...(ofProject ? [{ subject: `project:${projectId}`, lists: project }] : []),
    ];
  }

  #identify(credential: string, keys: StaticKeys): MaybePromise<Principal> {
    const known = this.#tokens.cached(credential) ?? keys.match(credential);
    if (known !== undefined && known !== null) return this.#admit(known);
    return this.#tokens.verify(credential).then((principal) => this.#admit(principal));
  }

  /** What its maker may not do any more, a client secret may not either. */
  async #open(secret: string, { auth, keys }: Access): Promise<Principal> {
    const principal = await this.#secrets.open(secret);
    const { kind, tokenId } = principal;
    const isKnown = kind === "token" || (kind === "open" ? auth === "open" : keys.has(tokenId));
    if (!isKnown) throw new GatewayError("token_invalid");
    return this.#admit(principal);
  }

  /** Under `auth: open` a provider's own key is not ours to judge; what claims to be ours is. */
  #ours(found: FoundCredentials, keys: StaticKeys): string[] {
    return found.credentials.map(valueOf).filter((value) => this.#isOurs(value, keys));
  }

  #isOurs(value: string, keys: StaticKeys): boolean {
    if (this.#tokens.recognizes(value) || this.#secrets.recognizes(value)) return true;
    return keys.match(value) !== null;
  }

  #admit(principal: Principal): Principal {
    this.recheck(principal);
    return principal;
  }

  #refusal(principal: Principal): ErrorCode | null {
    if (this.#tokens.isExpired(principal)) return "token_expired";
    if (this.#standing.isRevoked(principal)) return "token_revoked";
    if (principal.kind === "token" && this.#standing.isStale()) return "revocations_stale";
    return this.#standing.isActive(principal.projectId) ? null : "project_inactive";
  }
}

/** A live exchange as far as revocation is concerned. */
export interface LiveSession {
  readonly projectId: string;
  readonly tokenId: string | null;
  /** Of its token; null where it has none. */
  readonly issuedAtMs: number | null;
}

/** Ends every live session and stream that matches, telling each client why. */
interface LiveSessions {
  endWhere(matches: (session: LiveSession) => boolean, error: GatewayError): number;
}

/** Lets revocations and deactivations reach what is already running. Call it once, at start. */
export function endWhenRefused(
  revocations: {
    onRevoked(listener: (matches: (session: LiveSession) => boolean) => void): void;
  },
  directory: { onDeactivated(listener: (projectIds: ReadonlySet<string>) => void): void },
  sessions: LiveSessions,
): void {
  revocations.onRevoked((matches) => {
    sessions.endWhere(matches, new GatewayError("token_revoked"));
  });
  directory.onDeactivated((projectIds) => {
    const named = ({ projectId }: LiveSession) => projectIds.has(projectId);
    sessions.endWhere(named, new GatewayError("project_inactive"));
  });
}

function subjectOf({ tokenId, projectId }: Principal): string {
  return tokenId === null ? `project:${projectId}` : `token:${tokenId}`;
}

function hasAny(limits: Limits): boolean {
  for (const _ in limits) return true;
  return false;
}

function isRestricting(lists: AllowLists | null): lists is AllowLists {
  return lists !== null && (lists.models ?? lists.endpoints ?? lists.tiers) !== null;
}

function valueOf(credential: { readonly value: string }): string {
  return credential.value;
}

function missing(found: FoundCredentials): GatewayError {
  if (found.placement !== "proxy") return new GatewayError("token_missing");
  return new GatewayError("token_missing", {
    message:
      "No token was sent. Send a sluice token or key as Proxy-Authorization: Bearer; " +
      "only auth: open lets anyone in",
    status: 407,
    headers: { "proxy-authenticate": 'Bearer realm="sluice", Basic realm="sluice"' },
  });
}
