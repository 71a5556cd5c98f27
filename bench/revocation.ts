/**
 * How long a revoked token's session lives on another node: two nodes on one PostgreSQL, from the
 * answer of the management API at one to the close frame at the other.
 *
 * Owns: the nodes, the sessions and the clockwork. Does not own: what is done with the figures.
 * Invariant: every session has a token of its own, and is open when that is revoked.
 */

import { join } from "node:path";

import { openClientSocket } from "../src/runtime/client_socket.ts";
import { PostgresServer } from "../test/support/postgres_server.ts";
import { type Child, start, stop } from "./process.ts";
import { answers, freePort } from "./targets.ts";

const REVOCATIONS = 300;

/** Milliseconds. */
export interface RevocationLag {
  readonly revocations: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

interface BenchNode {
  readonly child: Child;
  readonly url: string;
  readonly adminUrl: string;
  readonly adminToken: string;
}

/** @param folder for the nodes' data */
export async function measureRevocation(
  executable: string,
  upstreamPort: number,
  folder: string,
  quick: boolean,
): Promise<RevocationLag> {
  const server = await PostgresServer.start();
  const config = await migrated(executable, await server.createDatabase(), upstreamPort, folder);
  const here = await startNode(executable, config, join(folder, "here"));
  const there = await startNode(executable, config, join(folder, "there"));
  try {
    const lagsMs: number[] = [];
    const count = quick ? REVOCATIONS / 10 : REVOCATIONS;
    for (let done = 0; done < count; done++) lagsMs.push(await revokeOnce(here, there));
    lagsMs.sort((a, b) => a - b);
    return {
      revocations: count,
      p50Ms: lagsMs[Math.floor(count * 0.5)] ?? 0,
      p99Ms: lagsMs[Math.floor(count * 0.99)] ?? 0,
      maxMs: lagsMs.at(-1) ?? 0,
    };
  } finally {
    await Promise.all([stop(here.child), stop(there.child)]);
    await server.stop();
  }
}

/** The figures as text. */
export function revocationLine({ revocations, p50Ms, p99Ms, maxMs }: RevocationLag): string {
  const figures = [p50Ms, p99Ms, maxMs].map((ms) => `${ms.toFixed(1)} ms`);
  const [p50, p99, max] = figures;
  const title = `revocation lag over two nodes, ${revocations} times`;
  return `\n${title}\np50 ${p50} · p99 ${p99} · max ${max}`;
}

async function migrated(
  executable: string,
  databaseUrl: string,
  upstreamPort: number,
  folder: string,
): Promise<string> {
  const key = (await Bun.$`${executable} keys generate`.text()).trim();
  const config = `http_bind_address: 127.0.0.1
admin_port: 0
database_url: ${JSON.stringify(databaseUrl)}
encryption_keys: ["${key}"]
providers:
  - { name: openai, type: openai, endpoint: "http://127.0.0.1:${upstreamPort}", api_key: sk-bench }
log: { level: warn, format: json }
`;
  const file = join(folder, "migrate.yml");
  await Bun.write(file, `http_port: 0\ndata_dir: ${folder}\n${config}`);
  await Bun.$`${executable} migrate -c ${file}`.quiet();
  return config;
}

async function startNode(executable: string, config: string, dataDir: string): Promise<BenchNode> {
  const port = await freePort();
  const file = `${dataDir}.yml`;
  await Bun.write(file, `http_port: ${port}\ndata_dir: ${dataDir}\n${config}`);
  const child = start([executable, "serve", "-c", file], `${dataDir}.log`);
  const url = `http://127.0.0.1:${port}`;
  await answers(`${url}/health/ready`, "a node");
  const { url: adminUrl, token: adminToken } = await Bun.file(join(dataDir, "admin.json")).json();
  return { child, url, adminUrl, adminToken };
}

async function manage(node: BenchNode, method: string, path: string, body?: object) {
  return await fetch(`${node.adminUrl}/manage/${path}`, {
    method,
    headers: { authorization: `Bearer ${node.adminToken}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

/** Milliseconds until a session at `there` is closed whose token is revoked at `here`. */
async function revokeOnce(here: BenchNode, there: BenchNode): Promise<number> {
  const minute = { project_id: "default", duration_minutes: 5 };
  const { id, token } = await (await manage(here, "POST", "tokens", minute)).json();
  const headers = { authorization: `Bearer ${token}` };
  const socket = openClientSocket(`${there.url.replace("http", "ws")}/v1/responses`, headers);
  const closed = Promise.withResolvers<number>();
  const opened = Promise.withResolvers<void>();
  socket.addEventListener("open", () => opened.resolve());
  socket.addEventListener("error", () => opened.reject(new Error("The session was refused")));
  socket.addEventListener("close", () => closed.resolve(performance.now()));
  await opened.promise;
  const answer = await manage(here, "DELETE", `tokens/${id}`);
  const answeredMs = performance.now();
  if (answer.status !== 204) throw new Error(`The revocation was answered ${answer.status}`);
  // The other node may be the faster one.
  return Math.max(0, (await closed.promise) - answeredMs);
}
