import { expect, test } from "bun:test";

import { EMBEDDED } from "../../src/mock/embedded.ts";

test.each(Object.entries(EMBEDDED))(
  "EMBEDDED %s is of the kind that its name says",
  (name, text) => {
    if (name.endsWith("_errors.json")) expect(JSON.parse(text)).toBeArray();
    else if (name.endsWith(".json")) expect(JSON.parse(text)).toBeObject();
    else if (name.endsWith(".sse")) expect(text).toMatch(/^(?:event|data): /);
    else for (const line of text.trim().split("\n")) expect(JSON.parse(line).dir).toBeString();
  },
);
