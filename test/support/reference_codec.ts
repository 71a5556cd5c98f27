/**
 * RFC 6455 framing written for plainness: over a whole byte string, one frame after the other,
 * nothing clever. The yardstick for the codec, and the voice of the simulated upstream.
 */

import { Buffer } from "node:buffer";

import type { Message } from "../../src/exchange.ts";

export interface ReferenceFrame {
  readonly opcode: number;
  readonly payload: Buffer;
  readonly final: boolean;
}

/** An unmasked frame, as a server sends it. */
export function serverFrame(opcode: number, payload: Uint8Array | string, final = true): Buffer {
  const body = Buffer.from(payload as string);
  const header = Buffer.alloc(body.length < 126 ? 2 : body.length < 65536 ? 4 : 10);
  header[0] = (final ? 0x80 : 0) | opcode;
  if (body.length < 126) header[1] = body.length;
  else if (body.length < 65536) {
    header[1] = 126;
    header.writeUInt16BE(body.length, 2);
  } else {
    header[1] = 127;
    header.writeBigUInt64BE(BigInt(body.length), 2);
  }
  return Buffer.concat([header, body]);
}

/** A message in one frame. */
export function serverMessage(message: Message): Buffer {
  return serverFrame(typeof message === "string" ? 1 : 2, message);
}

export function serverClose(code: number | null, reason = ""): Buffer {
  if (code === null) return serverFrame(8, "");
  const head = Buffer.alloc(2);
  head.writeUInt16BE(code);
  return serverFrame(8, Buffer.concat([head, Buffer.from(reason)]));
}

/**
 * The masked frames at the beginning of `bytes` that are complete, and how many bytes they take.
 */
export function readClientFrames(bytes: Buffer): { frames: ReferenceFrame[]; used: number } {
  const frames: ReferenceFrame[] = [];
  let used = 0;
  for (;;) {
    const rest = bytes.subarray(used);
    if (rest.length < 2) return { frames, used };
    const [first = 0, second = 0] = rest;
    if (second < 0x80) throw new Error("A client's frame must be masked");
    const short = second & 0x7f;
    const at = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (rest.length < at + 4) return { frames, used };
    const length =
      short === 126
        ? rest.readUInt16BE(2)
        : short === 127
          ? Number(rest.readBigUInt64BE(2))
          : short;
    if (rest.length < at + 4 + length) return { frames, used };
    const mask = rest.subarray(at, at + 4);
    const payload = Buffer.alloc(length);
    for (let i = 0; i < length; i++) {
      payload[i] = (rest[at + 4 + i] ?? 0) ^ (mask[i % 4] ?? 0);
    }
    frames.push({ opcode: first & 0x0f, payload, final: first >= 0x80 });
    used += at + 4 + length;
  }
}

/**
 * What a client must make of a server's bytes: items in order, then perhaps the code of a breach.
 */
export function readServerStream(bytes: Buffer, messageBytesMax: number): (string | number)[] {
  const items: (string | number)[] = [];
  let at = 0;
  let open: { opcode: number; parts: Buffer[] } | null = null;
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const text = (payload: Uint8Array): string | null => {
    try {
      return utf8.decode(payload);
    } catch {
      return null;
    }
  };
  for (;;) {
    const rest = bytes.subarray(at);
    if (rest.length < 2) return items;
    const [first = 0, second = 0] = rest;
    const opcode = first & 0x0f;
    const final = first >= 0x80;
    if ((first & 0x70) !== 0 || second >= 0x80) return [...items, 1002];
    if (![0, 1, 2, 8, 9, 10].includes(opcode)) return [...items, 1002];
    if (opcode >= 8 && (!final || second > 125)) return [...items, 1002];
    if (opcode === 0 && open === null) return [...items, 1002];
    if ((opcode === 1 || opcode === 2) && open !== null) return [...items, 1002];
    const header: number = second === 126 ? 4 : second === 127 ? 10 : 2;
    if (rest.length < header) return items;
    const long =
      second === 126
        ? BigInt(rest.readUInt16BE(2))
        : second === 127
          ? rest.readBigUInt64BE(2)
          : BigInt(second);
    if (long >= 1n << 63n) return [...items, 1002];
    if ((second === 126 && long < 126n) || (second === 127 && long < 65536n))
      return [...items, 1002];
    const held: number = open === null ? 0 : Buffer.concat(open.parts).length;
    if (opcode < 8 && BigInt(held) + long > BigInt(messageBytesMax)) return [...items, 1009];
    const length = Number(long);
    if (rest.length < header + length) return items;
    const payload = rest.subarray(header, header + length);
    at += header + length;
    if (opcode === 9 || opcode === 10) {
      items.push(`${opcode === 9 ? "ping" : "pong"} ${payload.toString("hex")}`);
    } else if (opcode === 8) {
      if (length === 0) return [...items, "close null "];
      if (length === 1) return [...items, 1002];
      const code = payload.readUInt16BE(0);
      const allowed =
        (code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code)) ||
        (code >= 3000 && code <= 4999);
      if (!allowed) return [...items, 1002];
      const reason = text(payload.subarray(2));
      return [...items, reason === null ? 1007 : `close ${code} ${reason}`];
    } else {
      open ??= { opcode, parts: [] };
      open.parts.push(payload);
      if (!final) continue;
      const whole = Buffer.concat(open.parts);
      const isText = open.opcode === 1;
      open = null;
      const decoded = isText ? text(whole) : whole.toString("hex");
      if (decoded === null) return [...items, 1007];
      items.push(`${isText ? "text" : "binary"} ${decoded}`);
    }
  }
}
