import { describe, expect, test } from "bun:test";
import { UsageError } from "../../src/cli/command.ts";
import { activeField, deleteOne, listPage, pathOf, showOne } from "../../src/cli/resource.ts";
import { FakeIo } from "../support/fake_io.ts";

function ioWith(answer: Response): FakeIo {
  const env = { SLUICE_ADMIN_URL: "http://127.0.0.1:9090", SLUICE_ADMIN_TOKEN: "t" };
  return new FakeIo({ env, fetch: () => Promise.resolve(answer) });
}

function sent(io: FakeIo): string[] {
  return io.requests.map(({ method, url }) => `${method} ${url}`);
}

describe("activeField()", () => {
  test("is what the options say, and empty without them", () => {
    expect(activeField({})).toEqual({});
    expect(activeField({ activate: true })).toEqual({ is_active: true });
    expect(activeField({ deactivate: true })).toEqual({ is_active: false });
    expect(() => activeField({ activate: true, deactivate: true })).toThrow(UsageError);
  });
});

describe("pathOf()", () => {
  test("keeps an id one segment", () => {
    expect(pathOf("tokens", ["../projects?x"])).toBe("tokens/..%2Fprojects%3Fx");
  });

  test("refuses a token where its id belongs, so that it is sent nowhere", () => {
    expect(() => pathOf("tokens", ["sk-sluice-x.y.z"])).toThrow("not its id (tok_…)");
  });
});

describe("listPage()", () => {
  const run = listPage({
    path: "things",
    field: "things",
    columns: [["ID", "id"]],
    filters: { project: "project_id" },
    about: (answer) => `Things of ${String(answer["owner"])}`,
  });
  const page = () => ioWith(Response.json({ owner: "o", things: [{ id: "a" }], next_cursor: "c" }));

  test("asks with the API's names of what is set, and prints a page and how to go on", async () => {
    const io = page();
    expect(await run(["--project", "a&b", "--limit", "1"], io)).toBe(0);
    expect(sent(io)).toEqual(["GET http://127.0.0.1:9090/manage/things?project_id=a%26b&limit=1"]);
    expect(io.out).toBe("ID\na\n");
    expect(io.err).toBe("Things of o\nThere is more: --cursor c\n");
  });

  test("prints the answer alone with --json", async () => {
    const io = page();
    expect(await run(["--json", "--cursor", "c"], io)).toBe(0);
    expect(sent(io)).toEqual(["GET http://127.0.0.1:9090/manage/things?cursor=c"]);
    expect([JSON.parse(io.out).owner, io.err]).toEqual(["o", ""]);
  });

  test("refuses an option that the list has not", async () => {
    await expect(run(["--token", "t"], page())).rejects.toThrow("Unknown option --token");
  });
});

describe("showOne()", () => {
  test("prints what the API says of one", async () => {
    const io = ioWith(Response.json({ id: "a" }));
    const show = showOne("things", "show a thing", (_io, json, answer) => {
      expect([json, answer]).toEqual([true, { id: "a" }]);
      return 0;
    });
    expect(await show.run(["a", "--json"], io)).toBe(0);
    expect(sent(io)).toEqual(["GET http://127.0.0.1:9090/manage/things/a"]);
    await expect(show.run([], io)).rejects.toThrow("ID is missing");
  });
});

describe("deleteOne()", () => {
  test("says what was done, and nothing with --json", async () => {
    const remove = deleteOne("things", "delete a thing", "Deleted thing");
    const io = ioWith(new Response(null, { status: 204 }));
    expect([await remove.run(["a"], io), io.out]).toEqual([0, "Deleted thing a\n"]);
    expect(sent(io)).toEqual(["DELETE http://127.0.0.1:9090/manage/things/a"]);
    const quiet = ioWith(new Response(null, { status: 204 }));
    expect([await remove.run(["a", "--json"], quiet), quiet.out]).toEqual([0, ""]);
  });
});
