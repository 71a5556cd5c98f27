/**
 * For every house rule a small tree that breaks it, and one that looks like a breach and is none,
 * so that no rule can hold by finding nothing.
 */

export interface Sample {
  /** Name of the rule. */
  readonly rule: string;
  readonly bad: Readonly<Record<string, string>>;
  /** How many breaches `bad` has. */
  readonly breaches: number;
  readonly good: Readonly<Record<string, string>>;
}

const lines = (count: number) => "\n".repeat(count - 1);

export const SAMPLES: readonly Sample[] = [
  {
    rule: "a file imports only from rows below its own and from its own folder",
    bad: {
      "src/relay/a.ts": `import { b } from "../gateway.ts";`,
      "src/relay/c.ts": `import type { D } from "../meter/d.ts";`,
      "src/lib/e.ts": `export { f } from "../errors.ts";`,
      "src/stray/g.ts": "",
      "src/cli/h.ts": `import { fake } from "../../test/support/fake.ts";`,
    },
    breaches: 5,
    good: {
      "src/relay/a.ts": `import { b } from "./b.ts"; import type { C } from "../store/c.ts";`,
      "src/errors.ts": `import type { ProviderType } from "./exchange.ts";`,
      "src/gateway.ts": `import { relayHttp } from "./gateway/http.ts";`,
      "src/store/d.ts": `import sql from "../../sql/0001.sql" with { type: "text" };`,
      "test/relay/a.test.ts": `import { b } from "../../src/gateway.ts";`,
      "src/lib/comment.ts": `// import { b } from "../gateway.ts";`,
    },
  },
  {
    rule: "imports make no cycle, type imports included",
    bad: {
      "src/lib/a.ts": `import type { B } from "./b.ts";`,
      "src/lib/b.ts": `import { c } from "./c.ts";`,
      "src/lib/c.ts": `import { a } from "./a.ts";`,
    },
    breaches: 1,
    good: {
      "src/lib/a.ts": `import { b } from "./b.ts"; import { c } from "./c.ts";`,
      "src/lib/b.ts": `import { c } from "./c.ts";`,
      "src/lib/c.ts": "",
    },
  },
  {
    rule: "a third-party package is imported only in its home",
    bad: {
      "src/relay/a.ts": `import { Hono } from "hono";`,
      "src/auth/authenticate.ts": `import type { JWTPayload } from "jose";`,
      "src/cli/b.ts": `import { parse } from "yaml";`,
      "src/store/c.ts": `import { Database } from "bun:sqlite";`,
      "src/lib/d.ts": `import { readFileSync } from "node:fs";`,
      "src/cli/e.ts": `const OpenAI = await import("openai");`,
    },
    breaches: 6,
    good: {
      "src/admin/a.ts": `import { bearerAuth } from "hono/bearer-auth";`,
      "src/auth/token.ts": `import { SignJWT } from "jose";`,
      "src/config/parse.ts": `import { parseDocument } from "yaml";`,
      "src/runtime/sqlite.ts": `import { Database } from "bun:sqlite";`,
      "src/store/c.ts": `import { readFileSync } from "node:fs";`,
      "src/lib/d.ts": `import { isUtf8 } from "node:buffer";`,
      "test/e2e/sdk.test.ts": `import OpenAI from "openai";`,
    },
  },
  {
    rule: "Bun and Deno are named only in src/runtime",
    bad: { "src/relay/a.ts": "const a = Bun.file(name);\nconst b = globalThis.Deno;" },
    breaches: 2,
    good: {
      "src/relay/a.ts": `// Bun.serve does it\nconst agent = "Bun/1"; const BunSocket = 1;`,
      "src/runtime/bun.ts": "Bun.serve({});",
    },
  },
  {
    rule: "process is named only in src/cli, src/runtime and src/main.ts",
    bad: { "src/auth/a.ts": `const a = process.env["A"];` },
    breaches: 1,
    good: {
      "src/main.ts": "process.exit(1);",
      "src/cli/a.ts": "process.stdout.write(text);",
      "src/auth/a.ts": "this.process.next(); reprocess.x();",
    },
  },
  {
    rule: "time, timers and chance are read only in src/runtime",
    bad: {
      "src/lib/a.ts": "const a = Date.now();\nconst b = new Date();\nconst c = Math.random();",
      "src/lib/b.ts": "setTimeout(a, 1);\nsetInterval(a, 1);\nsetImmediate(a);\nperformance.now();",
      "src/lib/c.ts": "fetch(url, { signal: AbortSignal.timeout(5) });\nnew Date;",
    },
    breaches: 9,
    good: {
      "src/lib/a.ts": "new Date(nowMs).toISOString(); // not Date.now()\nclearTimeout(id);",
      "src/runtime/clock.ts": "Date.now(); setTimeout(run, 1);",
      "test/e2e/a.test.ts": "Date.now();",
    },
  },
  {
    rule: "tests outside e2e and live do not sleep",
    bad: { "test/relay/a.test.ts": "await Bun.sleep(5);\nsetTimeout(done, 5);" },
    breaches: 2,
    good: {
      "test/e2e/a.test.ts": "await Bun.sleep(5);",
      "test/relay/a.test.ts": "clock.advance(5); // instead of Bun.sleep",
    },
  },
  {
    rule: "no dead file",
    bad: {
      "src/main.ts": `import { a } from "./cli/a.ts";`,
      "src/cli/a.ts": "",
      "src/cli/b.ts": "",
      "test/cli/b.test.ts": `import { b } from "../../src/cli/b.ts";`,
    },
    breaches: 1,
    good: {
      "src/main.ts": `await import("./cli/a.ts");`,
      "src/cli/a.ts": `import type { B } from "../exchange.ts";`,
      "src/exchange.ts": "",
      "src/store/sqlite_worker.ts": `import "./sqlite.ts";`,
      "src/store/sqlite.ts": "",
    },
  },
  {
    rule: "no exported name that nothing imports",
    bad: {
      "src/lib/a.ts": "export const a = 1;\nexport type B = 2;\nexport async function c() {}",
      "src/lib/d.ts": `import { c } from "./a.ts";\nimport * as all from "./e.ts";\nall.e();`,
      "src/lib/e.ts": "const e = 1;\nconst f = 2;\nexport { e, f };",
    },
    breaches: 3,
    good: {
      "src/lib/a.ts":
        "export const a = 1;\nexport interface B {}\nexport class C {}\nfunction d() {}",
      "src/lib/b.ts": `import { a as renamed, type B } from "./a.ts";`,
      "test/lib/c.test.ts": `const { C } = await import("../../src/lib/a.ts");`,
    },
  },
  {
    rule: "no export *, no default export, no re-export",
    bad: {
      "src/lib/a.ts": `export * from "./b.ts";\nexport { c } from "./c.ts";`,
      "src/lib/b.ts": "export default 1;",
      "bench/c.ts": "const d = 1;\nexport { d as default };",
    },
    breaches: 4,
    good: { "src/lib/a.ts": "export const text = `export default`;\nexport { b, c };" },
  },
  {
    rule: "src/README.md lists every file of src and no other",
    bad: { "src/README.md": "`lib/a.ts` `lib/gone.ts`", "src/lib/a.ts": "", "src/lib/b.ts": "" },
    breaches: 2,
    good: {
      "src/README.md":
        "| `lib/a.ts` | adds |\n| `main.ts` | starts |\n`store/sql.d.ts` `meter/prices.json`",
      "src/lib/a.ts": "",
      "src/main.ts": "",
      "src/store/sql.d.ts": "",
      "test/lib/a.test.ts": "",
    },
  },
  {
    rule: "a source file begins with a comment that says what it owns",
    bad: { "src/lib/a.ts": "export const a = 1;\n/** late */", "src/lib/b.ts": "// short\n" },
    breaches: 2,
    good: { "src/lib/a.ts": "/** Adds. */\n", "src/main.ts": "#!/usr/bin/env bun\n/**\n * It. */" },
  },
  {
    rule: "lines have at most 100 columns",
    bad: { "src/lib/a.ts": `\n${"x".repeat(101)}` },
    breaches: 1,
    good: { "src/lib/a.ts": "x".repeat(100), "src/errors.ts": "x".repeat(101) },
  },
  {
    rule: "files have at most 400 lines",
    bad: { "src/lib/a.ts": `${lines(401)}x` },
    breaches: 1,
    good: { "src/lib/a.ts": `${lines(400)}x\n`, "test/lib/a.test.ts": `${lines(500)}x` },
  },
  {
    rule: "functions have at most 70 lines",
    bad: {
      "src/lib/a.ts": `function a(b: { c: number }): { d: string } | null {${lines(71)}}`,
      "src/lib/b.ts": `class B {\n  async c<T>(d: () => void): Promise<T> {${lines(71)}}\n}`,
      "src/lib/c.ts": `const d = (e: number): number => {${lines(71)}};`,
      "src/lib/e.ts": `function e(): () => { f: string } {${lines(71)}}`,
      "src/lib/d.ts": `function d(): void {\n  const text = \`\${e({ f: "}" })} }\`;${lines(70)}}`,
    },
    breaches: 5,
    good: {
      "src/lib/a.ts": `function a(): void {${lines(70)}}`,
      "src/lib/b.ts": `class B {${lines(90)}}\nif (a) {${lines(90)}}`,
      "src/lib/c.ts": `const A = f({${lines(90)}});\ninterface B { c(d: string): void;${lines(90)}}`,
    },
  },
  {
    rule: "no any",
    bad: { "src/lib/a.ts": "let a: any;\nlet b: Array<any>;\nconst c = d as any;\nlet e: any[];" },
    breaches: 4,
    good: {
      "src/lib/a.ts": `// any of them\nPromise.any(all); AbortSignal.any(s); const x = "any";`,
      "src/lib/b.ts": "const sets = { any: 1 };",
    },
  },
  {
    rule: "a cast says why it is safe",
    bad: {
      "src/lib/a.ts": "const a = b as C;\nconst d = f() as unknown as { e: string };",
      "src/provider/b.ts": "// far away\n\nreturn [c] as string[];",
    },
    breaches: 4,
    good: {
      "src/lib/a.ts": "const a = [1] as const;\n// checked above\nconst b = c as D;",
      "src/lib/b.ts": `import { e as f, type G as H } from "./g.ts";\nimport * as i from "./i.ts";`,
      "src/lib/c.ts": `const h = "as good as new"; // as Good as new\nconst i = j as K; // a record`,
      "test/a.test.ts": "const l = m as N;",
    },
  },
  {
    rule: "no enum",
    bad: { "src/lib/a.ts": "export const enum A { B }\nenum C {}" },
    breaches: 2,
    good: { "src/lib/a.ts": "// an enum A {\nconst enumerable = true;" },
  },
  {
    rule: "no type error is silenced",
    bad: { "src/lib/a.ts": "// @ts-ignore\n", "test/a.test.ts": "// @ts-expect-error: it is\n" },
    breaches: 2,
    good: { "src/lib/a.ts": "// ts ignores it" },
  },
  {
    rule: "no TODO, FIXME, XXX or HACK",
    bad: { "src/lib/a.ts": "// TODO later", "test/a.test.ts": `const a = "FIXME";` },
    breaches: 2,
    good: { "src/lib/a.ts": "// todos, hackers" },
  },
  {
    rule: "no console in src",
    bad: { "src/lib/a.ts": "console.log(1);" },
    breaches: 1,
    good: {
      "src/lib/a.ts": "// console.log\nthis.console.open();",
      "bench/run.ts": "console.log(1);",
    },
  },
  {
    rule: "file names are snake_case",
    bad: {
      "src/lib/boundedQueue.ts": "",
      "test/lib/bounded-queue.test.ts": "",
      "src/Lib/a.ts": "",
    },
    breaches: 3,
    good: { "src/lib/bounded_queue.ts": "", "test/lib/bounded_queue.test.ts": "" },
  },
  {
    rule: "a source file has its test in the mirrored place",
    bad: {
      "src/lib/a.ts": "",
      "test/a.test.ts": "",
      "src/exchange.ts": "",
      "test/exchange.test.ts": "",
    },
    breaches: 2,
    good: { "src/lib/a.ts": "", "test/lib/a.test.ts": "", "src/exchange.ts": "" },
  },
  {
    rule: "every error code, log event and metric is named in a test",
    bad: {
      "src/errors.ts": "const TABLE = {\n  token_missing: entry(401),\n  internal: entry(500),\n};",
      "src/emit/event.ts": `const LOG_EVENTS = {\n  ready: "info",\n};`,
      "src/emit/metrics.ts": "const COUNTERS = {};",
      "test/errors.test.ts": `expect(code).toBe("token_missing"); // internal, "already", ready`,
    },
    breaches: 3,
    good: {
      "src/errors.ts": "const TABLE = {\n  token_missing: entry(401),\n};",
      "src/emit/metrics.ts": "const COUNTERS = { sluice_refusals_total: 1 };",
      "test/errors.test.ts": `expect(code).toBe("token_missing");`,
      "test/metrics.test.ts": 'expect(text).toContain(`sluice_refusals_total{code="x"} 1`);',
    },
  },
  {
    rule: "a test title says what is true, not what should be or that it works",
    bad: {
      "test/a.test.ts": `test("a() should add", () => {});\ndescribe('b() Works', () => {});`,
      "test/b.test.ts": `test.each([\n  ["x", 1],\n])("c() should fail on %s", () => {});`,
    },
    breaches: 3,
    good: {
      "test/a.test.ts": `test("a() adds", () => { check("it should not matter here"); });`,
      "test/b.test.ts": `test.each(["should"])("b() refuses %s, and its network", () => {});`,
    },
  },
  {
    rule: "a dependency is an exact version",
    bad: {
      "package.json": `{"dependencies": {"a": "^1.0.0", "b": "1.2"}, "devDependencies": {"c": "*"}}`,
    },
    breaches: 3,
    good: { "package.json": `{"version": "x", "dependencies": {"a": "1.0.0", "b": "2.0.0-rc.1"}}` },
  },
];
