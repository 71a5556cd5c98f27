/**
 * The management API, for the commands that are thin clients of it.
 *
 * Owns: finding a node's address and admin token, and sending requests.
 * Does not own: what the answers mean, or how refusals are worded (`admin_words.ts`).
 * Invariant: an admin token goes only to the address it was given for.
 */

import { resolve } from "node:path";
import { parseDocumentTree } from "../config/document.ts";
import { expand } from "../config/expand.ts";
import { type AdminAccess, readAdminAccess } from "../store/key_file.ts";
import { TOKEN_PREFIX } from "../auth/token.ts";
import { inCommandWords } from "./admin_words.ts";
import { CommandFailure, UsageError } from "./command.ts";
import type { Io } from "./io.ts";
import { readNamedFile } from "./named_file.ts";

/** Options of every command that talks to a node. */
export const NODE_OPTIONS = {
  "admin-url": { type: "string" },
  "admin-token": { type: "string" },
  "data-dir": { type: "string" },
  config: { type: "string", short: "c" },
  json: { type: "boolean" },
} as const;

export const NODE_OPTIONS_HELP = `Options of all of these:
  --json               print the management API's answer as it is
  --admin-url URL      address of the management API, else SLUICE_ADMIN_URL
  --admin-token TOKEN  its token, else SLUICE_ADMIN_TOKEN (safer: arguments can be read by others)
  --data-dir DIR       where a node on this machine left both (admin.json); ./data by default
  -c, --config FILE    configuration that names data_dir`;

interface NodeValues {
  readonly "admin-url"?: string | undefined;
  readonly "admin-token"?: string | undefined;
  readonly "data-dir"?: string | undefined;
  readonly config?: string | undefined;
}

const DATA_DIR_DEFAULT = "./data";

/** A client of the node that options, environment or `admin.json` name. */
export async function connect(values: NodeValues, io: Io): Promise<AdminClient> {
  const { url, token } = await findAccess(values, io);
  return new AdminClient(checkedUrl(url), token, io);
}

/**
 * The readiness that a node tells everybody, with the reasons; no token is sent.
 * @throws CommandFailure when it cannot be reached, or another service answers
 */
export async function askReadiness(values: NodeValues, io: Io): Promise<Record<string, unknown>> {
  const { url } = named(values, io);
  const base = checkedUrl(url ?? adminAccess(await dataDir(values, io)).url);
  const response = await fetchFrom(
    base,
    new Request(`${base}/health/ready`, { redirect: "manual" }),
    io,
  );
  const answer = parseJson(await response.text());
  if (isRecord(answer) && typeof answer["status"] === "string") return answer;
  throw foreignAnswer(base, response.status);
}

/** Options win over a data folder named by option, that over the environment, that over ./data. */
async function findAccess(values: NodeValues, io: Io): Promise<Pick<AdminAccess, "url" | "token">> {
  const { url, token, namesFolder } = named(values, io);
  if (url !== undefined && token !== undefined) return { url, token };
  if (url !== undefined && !namesFolder) {
    throw new UsageError(`No admin token for ${url}: set SLUICE_ADMIN_TOKEN or --admin-token`);
  }
  const file = adminAccess(await dataDir(values, io));
  return { url: url ?? file.url, token: token ?? file.token };
}

/** What options and environment say without a look at a file. */
function named(values: NodeValues, io: Io) {
  const namesFolder = values["data-dir"] !== undefined || values.config !== undefined;
  const fromEnv = (name: string) => (namesFolder ? undefined : io.env[name] || undefined);
  const url = values["admin-url"] ?? fromEnv("SLUICE_ADMIN_URL");
  const token = values["admin-token"] ?? fromEnv("SLUICE_ADMIN_TOKEN");
  return { url, token, namesFolder };
}

/** Without slashes at its end. */
function checkedUrl(url: string): string {
  if (URL.canParse(url) && /^https?:/.test(url)) return url.replace(/\/+$/, "");
  throw new UsageError(`The address ${JSON.stringify(url)} is no http or https URL`);
}

async function dataDir(values: NodeValues, io: Io): Promise<string> {
  const named = values["data-dir"] ?? (await configuredDataDir(values.config, io));
  return resolve(io.cwd, named ?? (io.env["SLUICE_DATA_DIR"] || DATA_DIR_DEFAULT));
}

/** `data_dir` of a configuration file; the rest of the file is not looked at. */
async function configuredDataDir(file: string | undefined, io: Io): Promise<string | null> {
  if (file === undefined || io.env["SLUICE_DATA_DIR"]) return null;
  const text = await readNamedFile(io, file, "Check the path given with --config");
  const entry = parseDocumentTree(text).root.entries.get("data_dir");
  if (entry?.kind !== "scalar" || entry.text === null) return null;
  const expansion = expand(entry.text, io.env);
  if (expansion.kind === "text") return expansion.text;
  throw new CommandFailure(`Cannot read data_dir of ${file}`, "Name the folder with --data-dir");
}

/** What the node on this folder wrote. The file's own refusals (damaged, open to others) pass. */
function adminAccess(folder: string): AdminAccess {
  const access = readAdminAccess(folder);
  if (access !== null) return access;
  throw new CommandFailure(
    `No node has run on ${folder} (it has no admin.json)`,
    "Start one with `sluice serve`, name its folder with --data-dir, " +
      "or set SLUICE_ADMIN_URL and SLUICE_ADMIN_TOKEN",
  );
}

class AdminClient {
  readonly #base: string;
  readonly #token: string;
  readonly #io: Io;

  constructor(base: string, token: string, io: Io) {
    this.#base = base;
    this.#token = token;
    this.#io = io;
  }

  /**
   * The answer's JSON value; null for none.
   * @param path below `/manage/`, with its query
   * @param headers beside those of every request
   * @throws CommandFailure that says, in the command line's words, why it refuses
   */
  async send(
    method: string,
    path: string,
    body?: unknown,
    headers: HeadersInit = {},
  ): Promise<unknown> {
    const response = await this.#fetch(method, `/manage/${path}`, body, headers);
    const text = await response.text();
    const value = text === "" ? null : parseJson(text);
    if (response.ok && value !== undefined) return value;
    throw this.#refusal(response.status, value);
  }

  /** All entries of a list that answers a bare array, page after page. */
  async list(path: string): Promise<Record<string, unknown>[]> {
    const entries: Record<string, unknown>[] = [];
    for (let next: string | null = `/manage/${path}`; next !== null;) {
      const response: Response = await this.#fetch("GET", next);
      const value = parseJson(await response.text());
      if (!response.ok) throw this.#refusal(response.status, value);
      entries.push(...records(value));
      next = nextLink(response.headers.get("link"));
    }
    return entries;
  }

  async #fetch(
    method: string,
    path: string,
    body?: unknown,
    more: HeadersInit = {},
  ): Promise<Response> {
    const headers = new Headers(more);
    headers.set("authorization", `Bearer ${this.#token}`);
    if (body !== undefined) headers.set("content-type", "application/json");
    const init = { method, headers, redirect: "manual" as const };
    const text = body === undefined ? {} : { body: JSON.stringify(body) };
    return fetchFrom(this.#base, new Request(this.#base + path, { ...init, ...text }), this.#io);
  }

  #refusal(status: number, value: unknown): CommandFailure {
    if (status === 401) {
      const advice = "Check SLUICE_ADMIN_TOKEN, --admin-token or the node's admin.json";
      return new CommandFailure(`${this.#base} refused the admin token`, advice);
    }
    if (isRecord(value) && typeof value["error"] === "string") {
      const { message, advice } = inCommandWords(value["error"], textOf(value["description"]));
      return new CommandFailure(message, advice);
    }
    return foreignAnswer(this.#base, status);
  }
}

async function fetchFrom(base: string, request: Request, io: Io): Promise<Response> {
  try {
    return await io.fetch(request);
  } catch (cause) {
    const message = `Cannot reach the management API at ${base}`;
    throw new CommandFailure(message, "Is the node running, and is this its address?", { cause });
  }
}

function foreignAnswer(base: string, status: number): CommandFailure {
  const advice = "Check that the address is the management API's (admin_port)";
  return new CommandFailure(`${base} answered ${status} and no JSON of ours`, advice);
}

/** Entries of a JSON list that are objects. */
export function records(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A field as a table shows it. */
export function textOf(value: unknown): string {
  return value === null || value === undefined ? "" : String(value);
}

/** A path segment made of what someone typed. @throws UsageError for a token */
export function segment(text: string): string {
  return encodeURIComponent(idOf(text));
}

/**
 * An id as someone typed it.
 * @throws UsageError for a token, which is not sent to where ids are kept
 */
export function idOf(text: string): string {
  if (!text.startsWith(TOKEN_PREFIX)) return text;
  throw new UsageError(
    `This is a token (${TOKEN_PREFIX}…), not its id (tok_…): see \`sluice token list\`, ` +
      "or the jti in the token's middle part, which is base64url of JSON",
  );
}

/** `?name=value…` of the parameters that are set; "" for none. */
export function queryOf(parameters: Readonly<Record<string, string | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) query.set(name, value);
  }
  return query.size === 0 ? "" : `?${query}`;
}

function nextLink(header: string | null): string | null {
  return /^<(\/[^>]*)>; rel="next"$/.exec(header ?? "")?.[1] ?? null;
}

/** Undefined for what is no JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
