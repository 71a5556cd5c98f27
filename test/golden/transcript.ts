/**
 * The recorded exchanges of `test/golden/provider`, as values.
 * A WebSocket transcript has one message a line in the order it went over the wire.
 */

import { readFileSync } from "node:fs";
import type { Message, UsageEvent } from "../../src/exchange.ts";

export type TranscriptEntry =
  | { readonly dir: "client" | "server"; readonly message: Message }
  | { readonly dir: "client" | "server"; readonly close: { code: number; reason: string } };

/** One expected turn: columns of the usage event, and names that stand in its `details`. */
export type ExpectedTurn = Readonly<Record<string, unknown>>;

export interface ExpectedCase {
  readonly protocol: string;
  readonly turns: readonly ExpectedTurn[];
}

/** The request that led to a recorded body, and the head of its answer. */
export interface HttpExchange {
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: unknown;
    readonly multipart?: readonly MultipartPart[];
  };
  readonly response: { readonly status: number; readonly headers: Readonly<Record<string, string>> };
}

export interface MultipartPart {
  readonly name: string;
  readonly filename?: string;
  readonly content_type?: string;
  readonly bytes?: number;
  readonly value?: string;
}

const FOLDER = `${import.meta.dir}/provider`;

export function readBytes(name: string): Uint8Array {
  return new Uint8Array(readFileSync(`${FOLDER}/${name}`));
}

export function readText(name: string): string {
  return readFileSync(`${FOLDER}/${name}`, "utf8");
}

/** The expected turns of a fixture, in the order in which their terminal events arrive. */
export function expectedCase(name: string): ExpectedCase {
  const found = (JSON.parse(readText("expected.json")) as Record<string, ExpectedCase>)[name];
  if (found === undefined) throw new Error(`expected.json has no ${name}`);
  return found;
}

export function httpExchange(name: string): HttpExchange {
  const found = (JSON.parse(readText("http_exchanges.json")) as Record<string, HttpExchange>)[name];
  if (found === undefined) throw new Error(`http_exchanges.json has no ${name}`);
  return found;
}

/** The messages and closes of a WebSocket transcript; binary where it says so. */
export function loadTranscript(name: string): TranscriptEntry[] {
  const lines = readText(name).split("\n");
  return lines.filter((line) => line !== "").map(entryOf);
}

function entryOf(line: string): TranscriptEntry {
  const raw = JSON.parse(line) as {
    dir: "client" | "server";
    data?: unknown;
    opcode?: string;
    close?: { code: number; reason: string };
  };
  if (raw.close !== undefined) return { dir: raw.dir, close: raw.close };
  const text = JSON.stringify(raw.data);
  const message = raw.opcode === "binary" ? new TextEncoder().encode(text) : text;
  return { dir: raw.dir, message };
}

/** Names in an expected turn that only explain it. */
const EXPLANATIONS = ["note", "uncached_input_tokens", "output_tokens_at_start"];

/** An expected turn without what only explains it. */
export function wantedOf(expected: ExpectedTurn): ExpectedTurn {
  const named = Object.entries(expected).filter(([name]) => !EXPLANATIONS.includes(name));
  return Object.fromEntries(named);
}

/** What of a row an expected turn speaks of, so that the two can be compared whole. */
export function comparable(row: UsageEvent, expected: ExpectedTurn): Record<string, unknown> {
  const flat: Record<string, unknown> = { ...row, ...row.details };
  return Object.fromEntries(Object.keys(wantedOf(expected)).map((name) => [name, flat[name]]));
}
