/**
 * What is measured against what: the upstream itself, nginx in front of it, and sluice in front of
 * it.
 *
 * Owns: configuring and starting each on 127.0.0.1. Does not own: the load.
 * Invariant: every target gets the same bytes; only sluice checks the token, and it meters every
 * turn.
 */

import { createServer } from "node:net";
import { join } from "node:path";

import { childrenOf, jsonLines, start } from "./process.ts";

export interface Target {
  readonly name: "direct" | "nginx" | "sluice";
  readonly port: number;
  readonly token: string;
  /** Whose CPU and memory count; null: nobody's. */
  readonly pid: number | null;
  /** Anything that was not as it must be after the load; empty when all is well. */
  check(): Promise<string>;
}

const READY_WITHIN_MS = 15_000;

/** Starts the upstream and returns its port. */
export async function startUpstream(): Promise<number> {
  const child = start([process.execPath, join(import.meta.dir, "upstream.ts")], null);
  const line = (await jsonLines(child)()) as { port: number };
  return line.port;
}

export function directTarget(upstreamPort: number): Target {
  return { name: "direct", port: upstreamPort, token: "x", pid: null, check: nothingWrong };
}

function nothingWrong(): Promise<string> {
  return Promise.resolve("");
}

/**
 * nginx with one worker, as one would configure it for this traffic; null where it is not
 * installed.
 */
export async function startNginx(upstreamPort: number, folder: string): Promise<Target | null> {
  const nginx = Bun.which("nginx", { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` });
  if (nginx === null) return null;
  const port = await freePort();
  const file = join(folder, "nginx.conf");
  await Bun.write(file, nginxConfig(port, upstreamPort, folder));
  // SIGTERM: its master would leave the worker behind if it were killed.
  const command = [nginx, "-p", folder, "-c", file];
  const child = start(command, join(folder, "nginx.log"), "SIGTERM");
  await answers(`http://127.0.0.1:${port}/v1/chat/completions`, "nginx");
  const pid = childrenOf(child.pid)[0];
  if (pid === undefined) throw new Error("Cannot find the worker of nginx");
  return { name: "nginx", port, token: "x", pid, check: nothingWrong };
}

function nginxConfig(port: number, upstreamPort: number, folder: string): string {
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return `
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid ${folder}/nginx.pid;
error_log ${folder}/nginx.log warn;
${process.getuid?.() === 0 ? "user root;" : ""}
events { worker_connections 8192; }
http {
  access_log off;
  ${paths.map((path) => `${path}_temp_path ${folder}/${path};`).join("\n  ")}
  map $http_upgrade $connection_header { default upgrade; "" ""; }
  upstream provider { server 127.0.0.1:${upstreamPort}; keepalive 64; }
  server {
    listen 127.0.0.1:${port};
    keepalive_requests 1000000;
    location / {
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_header;
      proxy_set_header Host $host;
      proxy_buffering off;
      proxy_read_timeout 1h;
    }
  }
}
`;
}

/**
 * The built executable with one project credential, one token, and everything that costs turned on.
 */
export async function startSluice(
  executable: string,
  upstreamPort: number,
  folder: string,
): Promise<Target> {
  const port = await freePort();
  const dataDir = join(folder, "data");
  const file = join(folder, "sluice.yml");
  await Bun.write(
    file,
    `http_port: ${port}
http_bind_address: 127.0.0.1
admin_port: 0
data_dir: ${dataDir}
providers:
  - { name: openai, type: openai, endpoint: "http://127.0.0.1:${upstreamPort}", api_key: sk-bench }
log: { level: info, format: json }
`,
  );
  const child = start([executable, "serve", "--config", file], join(folder, "sluice.log"));
  await answers(`http://127.0.0.1:${port}/health/ready`, "sluice");
  const token = await Bun.$`${executable} token mint --data-dir ${dataDir}`.text();
  const check = () => meteredWell(dataDir);
  return { name: "sluice", port, token: token.trim(), pid: child.pid, check };
}

/** A relay that does not meter is not the product: the newest events must carry the usage. */
async function meteredWell(dataDir: string): Promise<string> {
  const admin: { url: string; token: string } = await Bun.file(join(dataDir, "admin.json")).json();
  const answer = await fetch(`${admin.url}/manage/usage/events?limit=100`, {
    headers: { authorization: `Bearer ${admin.token}` },
  });
  const { events } = (await answer.json()) as {
    events: { input_tokens: number | null; status: string }[];
  };
  const bad = events.filter((one) => one.input_tokens !== 1000 || one.status !== "completed");
  if (events.length > 0 && bad.length === 0) return "";
  return `sluice metered ${bad.length} of its newest ${events.length} turns wrongly`;
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" ? (address?.port ?? 0) : 0));
    });
  });
}

export async function answers(url: string, name: string): Promise<void> {
  const deadline = performance.now() + READY_WITHIN_MS;
  while (performance.now() < deadline) {
    const answer = await fetch(url, { method: "GET" }).catch(() => null);
    await answer?.body?.cancel();
    if (answer?.ok === true) return;
    await Bun.sleep(20);
  }
  throw new Error(`${name} was not ready within ${READY_WITHIN_MS / 1000} s`);
}
