/** What commands say when the real management API refuses them. */

import { describe, expect, test } from "bun:test";
import { inCommandWords } from "../../src/cli/admin_words.ts";
import { type CliSetup, setUpCli } from "../support/cli.ts";
import type { FakeIoOptions } from "../support/fake_io.ts";

/** What no command may say: it is the management API's. */
const OF_THE_API = /\/manage|PATCH|POST |GET |DELETE |If-Match|ETag|Known |error: "|Send /;

interface Case {
  readonly args: string;
  readonly says: string;
  readonly advises: string;
  readonly io?: FakeIoOptions;
  readonly before?: (setup: CliSetup) => Promise<unknown>;
}

const RFC_3339 = "Give RFC 3339 such as 2026-01-31T12:00:00Z";

const CASES: readonly Case[] = [
  {
    args: "token mint --project nope",
    says: 'Project "nope" not found',
    advises: "What there is: sluice project list",
  },
  { args: "token mint --minutes 0", says: "--minutes must be a whole number from 1", advises: "" },
  {
    args: "token mint --minutes 99999999",
    says: "--minutes is out of range",
    advises: "Give a whole number from 1 to ",
  },
  {
    args: "token mint --model a*b",
    says: '--model may have "*" only at the end of an entry',
    advises: "",
  },
  { args: `token mint --label ${"x".repeat(201)}`, says: "--label must have", advises: "" },
  {
    args: "token mint --project P",
    says: "Cannot create tokens for inactive projects",
    advises: "Activate it first: sluice project update P --activate",
    before: ({ request }) => request("PATCH", "/manage/projects/P", { is_active: false }),
  },
  {
    args: "token show nope",
    says: 'Token "nope" not found',
    advises: "What there is: sluice token list",
  },
  {
    args: "project update P --provider openai",
    says: "--provider means nothing without --api-key-stdin",
    advises: "Pipe the provider's key in with it",
  },
  {
    args: "project update P --api-key-stdin --provider none",
    says: "--provider is not configured",
    advises: "Configured providers: openai, anthropic",
    io: { input: "sk-new" },
  },
  {
    args: "project update P --api-key-stdin",
    says: "The key is masked",
    advises: "Give the whole key, not what a list shows",
    io: { input: "****abcd" },
  },
  { args: "project update P --name default", says: "A project has this name", advises: "another" },
  { args: `project create ${"x".repeat(201)}`, says: "NAME must have at most", advises: "" },
  { args: "project delete default", says: "cannot be deleted", advises: "deactivate it instead" },
  {
    args: "credential delete nope --project P",
    says: 'Credential "nope" not found',
    advises: "What there is: sluice credential list --project ID",
  },
  {
    args: "session delete nope",
    says: 'Session "nope" not found',
    advises: "What there is: sluice session list",
  },
  {
    args: "revocation add --project P --issued-before soon",
    says: "--issued-before is no time",
    advises: RFC_3339,
  },
  {
    args: "revocation add --project P --issued-before 2099-01-01T00:00:00Z",
    says: "--issued-before is in the future",
    advises: "leave it out for now",
  },
  { args: "usage --since soon", says: "--since is no time", advises: RFC_3339 },
  {
    args: "usage --limit 1001",
    says: "--limit is out of range",
    advises: "Give a number from 1 to 1000",
  },
  {
    args: "session list --cursor x",
    says: "--cursor is not valid",
    advises: "Give the cursor of the page before",
  },
  {
    args: "policy show --version 9",
    says: 'Version "9" not found',
    advises: "What there is: sluice policy versions",
  },
  {
    args: "policy set - --if-version 9",
    says: "The policy is not at the version that --if-version names",
    advises: "`sluice policy show`",
    io: { input: '{"rules": []}' },
  },
  {
    args: "policy explain --tier flex --credential-kind x",
    says: "--credential-kind must be api_key or oauth",
    advises: "",
  },
];

describe("inCommandWords() says", () => {
  test.each(CASES)("$says for: $args", async ({ args, says, advises, io = {}, before }) => {
    const setup = await setUpCli();
    const made = await setup.request("POST", "/manage/projects", { name: "team" });
    const { id } = await made.json();
    const named = (text: string) => text.replaceAll(/\bP\b/g, id);
    await before?.({
      ...setup,
      request: (method, path, body) => setup.request(method, named(path), body),
    });
    const { code, out, err } = await setup.sluice(named(args).split(" "), io);
    expect([code, out]).toEqual([1, ""]);
    const [first = "", second = "", rest = ""] = err.split("\n");
    expect(first).toStartWith("error: ");
    expect(first).toContain(says);
    expect(advises === "" ? second : rest).toBe("");
    expect(second).toContain(named(advises));
    expect(err).not.toMatch(OF_THE_API);
  });

  test.each([
    ['Unknown field "x"', "Known fields: name", 'Unknown field "x"', "different versions"],
    ['Unknown parameter "x"', "Send none", 'Unknown parameter "x"', "different versions"],
    ["No such path", "GET /manage/openapi.json describes all of them", "this call", "versions"],
    ["No fields to update", "Known fields: name", "Nothing to change", "at least one option"],
    [
      "x",
      'Deactivate it instead: PATCH it with {"is_active": false}',
      "x",
      "update ID --deactivate",
    ],
    [
      "x",
      "Wait 7 s, then send the admin token as Authorization",
      "x",
      "Wait 7 s, and check SLUICE",
    ],
    ["x", "It is stored, and reaches the other nodes, … send it again", "x", "run this again"],
    ["x", 'It is about "cursor"', "x", "It is about --cursor"],
    ['"jti" is missing', 'Send "jti" in the body', "--jti is missing", "Name it with --jti"],
    ['"limits.max_requests" is wider', "", "--limit max_requests is wider", ""],
    ['"other" is wrong', "Ask around", '"other" is wrong', "Ask around"],
  ])("of %j with %j", (error, description, message, advice) => {
    const words = inCommandWords(error, description);
    expect(words.message).toContain(message);
    expect(words.advice).toContain(advice);
  });
});
