/**
 * Sessions of the executable whose peers stall, flood, vanish or leave by the hundred: nothing is
 * lost, memory stays bounded, and everything is given back.
 */

import { readdirSync } from "node:fs";

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";

import { serverClose, serverFrame, serverMessage } from "../support/reference_codec.ts";
import { type FrameUpstream, frameUpstream, type UpstreamPeer } from "./frame_upstream.ts";
import { type Node, openaiConfig, startNode, until } from "./harness.ts";
import { type RawUpstream, rawUpstream } from "./raw_upstream.ts";
import { type Client, connect } from "./ws_client.ts";

const MIB = 1024 * 1024;
/** What a node may grow by for one stalled session: two queues, two messages, sockets' buffers. */
const STALLED_BYTES_MAX = 96 * MIB;

let upstream: FrameUpstream;
let node: Node;
let token: string;

beforeAll(async () => {
  upstream = frameUpstream();
  node = await startNode({ config: openaiConfig(upstream.url) });
  token = await node.mint();
});

afterAll(async () => {
  await node.stop();
  upstream.stop();
});

const connectTo = (url: string, bearer: string): Promise<Client> =>
  connect(url, "/v1/responses", { authorization: `Bearer ${bearer}` });

/** A session with both its ends. */
async function open(): Promise<{ client: Client; peer: UpstreamPeer }> {
  const next = upstream.next();
  const client = await connectTo(node.url, token);
  return { client, peer: await next };
}

/** Opens sessions a few at a time, so that no listener's queue overflows. */
async function openMany(url: string, bearer: string, count: number): Promise<Client[]> {
  const clients: Client[] = [];
  while (clients.length < count) {
    const batch = Array.from({ length: 50 }, () => connectTo(url, bearer));
    clients.push(...(await Promise.all(batch)));
  }
  return clients;
}

/** A client's message of exactly `size` bytes that means nothing to the meter. */
function filler(size: number): string {
  const around = '{"type":"x","pad":""}'.length;
  return `{"type":"x","pad":"${"p".repeat(size - around)}"}`;
}

async function residentBytes(pid: number): Promise<number> {
  const status = await Bun.file(`/proc/${pid}/status`).text();
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024;
}

const openFiles = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;

describe("a side that does not read", () => {
  test("an upstream under a client's flood: bounded memory, and all arrives later", async () => {
    const { client, peer } = await open();
    const before = await residentBytes(node.pid);
    peer.pause();
    for (let i = 0; i < 200; i++) client.send(filler(MIB));
    await Bun.sleep(1_500);
    expect((await residentBytes(node.pid)) - before).toBeLessThan(STALLED_BYTES_MAX);
    expect(peer.frames).toBeLessThan(100);
    peer.resume();
    await until("all frames", () => peer.frames === 200);
    expect(peer.bytes).toBe(200 * MIB);
    client.close();
    await peer.gone;
  }, 30_000);

  test("both: each direction resumes where it stopped, and other sessions go on", async () => {
    const { client, peer } = await open();
    const before = await residentBytes(node.pid);
    peer.pause();
    client.pause();
    for (let i = 0; i < 100; i++) client.send(filler(MIB));
    for (let i = 0; i < 100; i++) peer.write(serverMessage(filler(MIB)));
    await Bun.sleep(1_500);
    expect((await residentBytes(node.pid)) - before).toBeLessThan(2 * STALLED_BYTES_MAX);
    const other = await open();
    other.peer.write(serverMessage("here"));
    expect(await other.client.next()).toBe("here");
    other.client.close();
    client.resume();
    expect(await client.count(100, (message) => message.length === MIB)).toBe(100);
    peer.resume();
    await until("all frames", () => peer.frames === 100);
    client.close();
  }, 30_000);

  test("a client, when the upstream closes: it reads what was sent, then the close", async () => {
    const { client, peer } = await open();
    client.pause();
    for (let i = 0; i < 40; i++) peer.write(serverMessage(filler(MIB)));
    peer.write(serverClose(4001, "over"));
    await Bun.sleep(800);
    client.resume();
    expect(await client.count(40, (message) => message.length === MIB)).toBe(40);
    expect(await client.closed).toEqual({ code: 4001, reason: "over" });
    await peer.gone;
  }, 30_000);
});

describe("a frame as large as is allowed", () => {
  test("of the upstream, to a client that reads late", async () => {
    const { client, peer } = await open();
    client.pause();
    peer.write(serverFrame(2, Buffer.alloc(64 * MIB, 7)));
    await Bun.sleep(800);
    client.resume();
    const message = await client.nextMessage();
    expect(typeof message === "string" ? 0 : message.byteLength).toBe(64 * MIB);
    client.close();
  }, 30_000);

  test("of the client", async () => {
    const { client, peer } = await open();
    client.send(filler(60 * MIB));
    await until("the frame", () => peer.frames === 1);
    expect(peer.bytes).toBe(60 * MIB);
    client.close();
  }, 30_000);
});

test("a client that ends its side without a close frame is 1001 to the upstream", async () => {
  const next = upstream.next();
  const { hostname, port } = new URL(node.url);
  const socket = await Bun.connect({ hostname, port: Number(port), socket: { data() {} } });
  const lines = [
    "GET /v1/responses HTTP/1.1",
    `Host: ${hostname}`,
    `Authorization: Bearer ${token}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  ];
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  const peer = await next;
  socket.shutdown();
  await until("the close frame", () => peer.closeCode !== null);
  expect(peer.closeCode).toBe(1001);
  socket.end();
});

describe("hundreds of sessions", () => {
  test("whose upstream vanishes: 1011 to each, and files and memory are given back", async () => {
    const files = openFiles(node.pid);
    const clients = await openMany(node.url, token, 500);
    const opened = await residentBytes(node.pid);
    for (const client of clients) client.send('{"type":"response.create","model":"gpt-5"}');
    for (const peer of upstream.peers) peer.write(serverMessage(filler(1000)));
    expect(openFiles(node.pid)).toBeGreaterThan(files + 900);
    for (const peer of upstream.peers) peer.vanish();
    const ends = await Promise.all(clients.map((client) => client.closed));
    expect(ends.filter(({ code }) => code === 1011)).toHaveLength(500);
    await until("files given back", () => openFiles(node.pid) <= files);
    expect(await residentBytes(node.pid)).toBeLessThan(opened + 64 * MIB);
    const failed = () => node.log.filter((line) => line.event === "relay_failed");
    await until("the ends logged", () => failed().length >= 500);
    expect(new Set(failed().map((line) => line["code"]))).toEqual(new Set(["upstream_closed"]));
  }, 60_000);

  test("at SIGTERM: 1012 to each, and the node exits", async () => {
    const own = await startNode({ config: openaiConfig(upstream.url) });
    const clients = await openMany(own.url, await own.mint(), 500);
    own.kill("SIGTERM");
    const ends = await Promise.all(clients.map((client) => client.closed));
    expect(ends.filter(({ code }) => code === 1012)).toHaveLength(500);
    expect(await own.exited).toBe(0);
    await own.stop();
  }, 60_000);
});

describe("a session whose upstream is being dialled", () => {
  const opening = (url: string, bearer: string) =>
    connectTo(url, bearer).then(
      (client) => client,
      (thrown: unknown) => String(thrown),
    );
  let silent: RawUpstream;
  let dialling: Node;

  async function dial(limits = ""): Promise<{ bearer: string; opened: Promise<Client | string> }> {
    silent = await rawUpstream(() => {});
    dialling = await startNode({ config: `${limits}\n${openaiConfig(silent.url)}` });
    const bearer = await dialling.mint();
    const opened = opening(dialling.url, bearer);
    await dialling.logged(({ event }) => event === "relay_dial_start");
    return { bearer, opened };
  }

  afterEach(async () => {
    await dialling.stop();
    await silent.stop();
  });

  test("counts among the open ones", async () => {
    const { bearer } = await dial("limits: {sessions: 1}");
    expect(await opening(dialling.url, bearer)).toContain("503");
    expect(dialling.log.filter(({ event }) => event === "relay_dial_start")).toHaveLength(1);
  });

  test("is refused at once when its token is revoked", async () => {
    const { opened } = await dial();
    const [{ id }] = JSON.parse(await dialling.sluice(["token", "list", "--json"]));
    await dialling.sluice(["token", "revoke", id]);
    expect(await opened).toContain("401");
  });

  test("is refused at once when the node drains, which then exits", async () => {
    const { opened } = await dial();
    dialling.kill("SIGTERM");
    expect(await opened).toContain("503");
    expect(await dialling.exited).toBe(0);
  });
});
