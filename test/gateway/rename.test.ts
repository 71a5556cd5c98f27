import { describe, expect, test } from "bun:test";

import type { BodyTap } from "../../src/exchange.ts";
import { renamingTap } from "../../src/gateway/rename.ts";
import { requestedByForm } from "../../src/provider/openai_request.ts";
import type { MeterDialect } from "../../src/provider/provider.ts";
import { ModelNames } from "../../src/route/model_map.ts";
import { providerConfig } from "../support/provider_config.ts";

const THROUGH: BodyTap = { chunk: (bytes) => bytes, end: () => null, abort() {} };

interface Answer {
  readonly status?: number;
  readonly type?: string;
  readonly coding?: string;
  readonly dialect?: MeterDialect;
  readonly stream?: boolean;
  readonly asked?: string;
}

function tapFor(answer: Answer): BodyTap | null {
  const names = new ModelNames(providerConfig({ models: new Map([["fast", "gpt-5"]]) }));
  names.toUpstream(answer.asked ?? "fast");
  const headers = new Headers({ "content-type": answer.type ?? "application/json" });
  if (answer.coding !== undefined) headers.set("content-encoding", answer.coding);
  const requested = { ...requestedByForm(new Map()), stream: answer.stream ?? false };
  const head = { status: answer.status ?? 200, headers };
  return renamingTap(THROUGH, head, { names, requested }, answer.dialect ?? "openai_chat", 1_000);
}

async function changed(answer: Answer, text: string): Promise<string> {
  const tap = tapFor(answer);
  const parts = [await tap?.chunk(new TextEncoder().encode(text)), await tap?.end()];
  return parts.map((part) => new TextDecoder().decode(part ?? new Uint8Array(0))).join("");
}

describe("renamingTap() gives the caller's name", () => {
  test.each<[Answer, string]>([
    [{}, '{"model":"gpt-5-2026-01-31"}'],
    [{ coding: "Identity" }, '{"model":"gpt-5"}'],
    [{ coding: "" }, '{"model":"gpt-5"}'],
    [{ type: "text/event-stream; charset=utf-8" }, 'data: {"model":"gpt-5"}\n\n'],
    [{ dialect: "gemini_generate", stream: true }, '[{"modelVersion":"gpt-5"}]'],
    [{ dialect: "gemini_generate" }, '{"modelVersion":"gpt-5"}'],
  ])("in %j %s", async (answer, text) => {
    expect(await changed(answer, text)).toBe(text.replace(/"gpt-5[^"]*"/, '"fast"'));
  });
});

test.each<[Answer]>([
  [{ asked: "gpt-5" }],
  [{ status: 404 }],
  [{ coding: "gzip" }],
  [{ type: "audio/mpeg" }],
])("renamingTap() leaves %j as it is", (answer) => {
  expect(tapFor(answer)).toBe(THROUGH);
});
