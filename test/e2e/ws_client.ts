/** WebSocket clients for the tests: a well-behaved one, and one that writes any bytes it likes. */

import WebSocket from "ws";

export interface Client {
  readonly subprotocol: string;
  /** Pings that came so far. */
  readonly pings: number;
  send(message: string | Uint8Array): void;
  /** The next text message. */
  next(): Promise<string>;
  nextMessage(): Promise<string | ArrayBuffer>;
  /** The first message from here on that matches. */
  until(matches: (message: string) => boolean): Promise<string>;
  /** Reads until `count` messages matched, and returns how many did. */
  count(count: number, matches: (message: string) => boolean): Promise<number>;
  pause(): void;
  resume(): void;
  close(code?: number, reason?: string): void;
  /** Drops the connection without a close frame. */
  terminate(): void;
  readonly closed: Promise<{ code: number; reason: string }>;
}

/** Opens a session, or throws with the refusal's status. */
export async function connect(
  url: string,
  path: string,
  headers: Record<string, string>,
  subprotocols: string[] = [],
  tls: { ca?: string; checkServerIdentity?: () => undefined } = {},
): Promise<Client> {
  const socket = new WebSocket(`${url.replace("http", "ws")}${path}`, subprotocols, {
    headers,
    perMessageDeflate: false,
    maxPayload: 128 * 1024 * 1024,
    ...tls,
  });
  const messages: (string | ArrayBuffer)[] = [];
  const waiting: (() => void)[] = [];
  socket.binaryType = "arraybuffer";
  socket.on("message", (data, isBinary) => {
    messages.push(isBinary ? (data as ArrayBuffer) : data.toString());
    waiting.shift()?.();
  });
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.on("close", (code, reason) => {
      resolve({ code, reason: reason.toString() });
      for (const wake of waiting.splice(0)) wake();
    });
  });
  await new Promise<void>((resolve, reject) => {
    socket.on("open", () => resolve());
    socket.on("error", reject);
  });
  const nextMessage = async (): Promise<string | ArrayBuffer> => {
    while (messages.length === 0) {
      if (socket.readyState === WebSocket.CLOSED) throw new Error("The session has closed");
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
    return messages.shift() ?? "";
  };
  const next = async () => String(await nextMessage());
  let pings = 0;
  socket.on("ping", () => (pings += 1));
  return {
    subprotocol: socket.protocol,
    get pings() {
      return pings;
    },
    send: (message) => socket.send(message),
    next,
    nextMessage,
    async until(matches) {
      for (;;) {
        const message = await next();
        if (matches(message)) return message;
      }
    },
    async count(count, matches) {
      let seen = 0;
      while (seen < count) if (matches(await next())) seen += 1;
      return seen;
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    close: (code = 1000, reason = "") => socket.close(code, reason),
    terminate: () => socket.terminate(),
    closed,
  };
}

/** The HTTP answer to an upgrade that is refused. */
export async function refusal(
  url: string,
  path: string,
  headers: Record<string, string>,
): Promise<{ status: number; body: string }> {
  const answer = await rawHandshake(url, path, headers);
  const text = await answer.ended;
  return { status: answer.status, body: text.slice(text.indexOf("\r\n\r\n") + 4) };
}

export interface RawClient {
  readonly status: number;
  /** Returns how many of them the system took. */
  write(bytes: Uint8Array): number;
  /** Everything that came until the other side closed. */
  readonly ended: Promise<string>;
}

/** Sends a handshake by hand, with `headers` replacing the usual ones. */
export async function rawHandshake(
  url: string,
  path: string,
  headers: Record<string, string>,
): Promise<RawClient> {
  const { hostname, port } = new URL(url);
  const head = Promise.withResolvers<number>();
  const ended = Promise.withResolvers<string>();
  let text = "";
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data(_socket, bytes) {
        text += bytes.toString("latin1");
        const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
        if (status !== undefined && text.includes("\r\n\r\n")) head.resolve(Number(status));
        // A refusal is complete with its body; the connection may stay open for another request.
        const length = /content-length: (\d+)/i.exec(text)?.[1];
        const bodyAt = text.indexOf("\r\n\r\n") + 4;
        if (length !== undefined && text.length - bodyAt >= Number(length)) ended.resolve(text);
      },
      close: () => {
        head.reject(new Error("Closed before an answer"));
        ended.resolve(text);
      },
    },
  });
  const fields: Record<string, string> = {
    host: `${hostname}:${port}`,
    upgrade: "websocket",
    connection: "Upgrade",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    ...headers,
  };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}`);
  socket.write(`GET ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
  const status = await head.promise;
  return { status, write: (bytes) => socket.write(bytes), ended: ended.promise };
}
