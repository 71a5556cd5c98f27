/**
 * A real HTTP proxy: tunnels (CONNECT) and requests in cleartext with a whole URL in them. It can
 * ask for a login, refuse, answer nonsense, keep silent, break off and go away.
 */

import { Buffer } from "node:buffer";
import { connect, createServer, type Server, type Socket } from "node:net";

/** What it does with whoever asks. A number is a status that it answers by itself. */
type Behaviour = "works" | "silent" | "breaks_off" | "garbage" | number;

export class ConnectProxy {
  behaviour: Behaviour = "works";
  /** `user:pass`; null: anybody may. */
  login: string | null = null;
  /** The head of each request that came, tunnels' included. */
  readonly heads: string[] = [];
  /** Where every name leads; null: where it does. */
  resolveTo: string | null = null;
  /** Written behind the answer that opens a tunnel. */
  early = "";
  port = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async start(): Promise<ConnectProxy> {
    const proxy = new ConnectProxy();
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    const address = proxy.#server.address();
    if (typeof address === "object" && address !== null) proxy.port = address.port;
    return proxy;
  }

  /** Connections to it that are open. */
  get open(): number {
    return this.#sockets.size;
  }

  /** Breaks every connection that leads through it. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  stop(): void {
    this.cut();
    this.#server.close();
  }

  #accept(client: Socket): void {
    this.#sockets.add(client);
    client.on("close", () => this.#sockets.delete(client));
    client.on("error", () => {});
    let received = Buffer.alloc(0);
    const read = (bytes: Buffer) => {
      received = Buffer.concat([received, bytes]);
      const end = received.indexOf("\r\n\r\n");
      if (end === -1) return;
      client.off("data", read);
      const head = received.toString("latin1", 0, end);
      this.heads.push(head);
      this.#answer(client, head, received);
    };
    client.on("data", read);
  }

  #answer(client: Socket, head: string, received: Buffer): void {
    const wanted = this.login === null ? null : Buffer.from(this.login).toString("base64");
    const given = /^proxy-authorization: Basic (\S+)/im.exec(head)?.[1] ?? null;
    if (wanted !== null && wanted !== given) this.#refuse(client, 407);
    else if (this.behaviour === "breaks_off") client.destroy();
    else if (this.behaviour === "garbage") client.end("\0garbage\r\n\r\n");
    else if (typeof this.behaviour === "number") this.#refuse(client, this.behaviour);
    else if (this.behaviour === "works") this.#pass(client, head, received);
  }

  #refuse(client: Socket, status: number): void {
    client.end(`HTTP/1.1 ${status} No\r\nproxy-authenticate: Basic realm="p"\r\n\r\nthe proxy's`);
  }

  /** One upstream for a connection, as long as it lasts. */
  #pass(client: Socket, head: string, received: Buffer): void {
    const [, method = "", target = ""] = /^(\S+) (\S+) /.exec(head) ?? [];
    const isTunnel = method === "CONNECT";
    const { hostname, port } = new URL(isTunnel ? `http://${target}` : target);
    const host = this.resolveTo ?? hostname.replace(/^\[|\]$/g, "");
    const upstream = connect(Number(port === "" ? 80 : port), host);
    upstream.on("connect", () => {
      if (isTunnel) client.write(`HTTP/1.1 200 Connection established\r\n\r\n${this.early}`);
      else upstream.write(received);
      client.pipe(upstream).pipe(client);
    });
    upstream.on("error", () => {
      if (upstream.connecting || upstream.bytesRead + upstream.bytesWritten === 0) {
        this.#refuse(client, 502);
      } else client.destroy();
    });
    upstream.on("close", () => client.end());
    client.on("close", () => upstream.destroy());
  }
}
