import { describe, expect, test } from "bun:test";
import { MultipartFields, multipartBoundary } from "../../src/provider/multipart.ts";

const utf8 = new TextEncoder();
const BOUNDARY = "----x";

function part(headers: string, content: string): string {
  return `--${BOUNDARY}\r\n${headers}\r\n\r\n${content}\r\n`;
}

const FILE = part(
  'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav',
  `RIFF\r\n--${BOUNDARY.slice(0, -1)}\r\n\r\nname="model"`,
);
const MODEL = part('content-disposition: form-data; name="model"', "whisper-1");
const END = `--${BOUNDARY}--\r\n`;

function find(chunks: readonly Uint8Array[], names = ["model"], valueBytesMax = 64) {
  const fields = new MultipartFields(BOUNDARY, names, valueBytesMax);
  for (const chunk of chunks) {
    const lent = chunk.slice();
    fields.push(lent);
    lent.fill(0x58);
  }
  return fields;
}

describe("MultipartFields", () => {
  test("oversized is every field whose value was too long to be kept", () => {
    const { values, oversized } = find([utf8.encode(MODEL + END)], ["model"], 8);
    expect([[...values], [...oversized]]).toEqual([[], ["model"]]);
    expect([...find([utf8.encode(MODEL + END)], ["model"], 9).oversized]).toEqual([]);
  });

  test.each([
    ["before the file", MODEL + FILE + END],
    ["after the file", FILE + MODEL + END],
    [
      "with an unquoted name",
      part("Content-Disposition: form-data; name=model", "whisper-1") + END,
    ],
    [
      "with an empty file name, which is none to some",
      part('content-disposition: form-data; filename=""; name="model"', "whisper-1") + END,
    ],
    [
      "behind a folded line",
      part('content-disposition: form-data;\r\n name="model"', "whisper-1") + END,
    ],
    [
      "as a file",
      part('content-disposition: form-data; name="model"; filename="m"', "whisper-1") + END,
    ],
    ["after a preamble", `preamble\r\n${MODEL}${END}`],
  ])("finds the field %s, at every split", (_, body) => {
    const bytes = utf8.encode(body);
    for (let at = 0; at <= bytes.length; at++) {
      const { values } = find([bytes.subarray(0, at), bytes.subarray(at)]);
      if (values.get("model") !== "whisper-1") throw new Error(`Split at ${at} finds nothing`);
    }
    expect(find([bytes]).values).toEqual(new Map([["model", "whisper-1"]]));
  });

  test("says where a value stands in the body, at every split", () => {
    const empty = part('content-disposition: form-data; name="model"', "");
    for (const body of [FILE + MODEL + END, MODEL + END, empty + END]) {
      const bytes = utf8.encode(body);
      for (let at = 0; at <= bytes.length; at++) {
        const fields = find([bytes.subarray(0, at), bytes.subarray(at)]);
        const { start, end } = fields.spanOf("model") ?? { start: 0, end: -1 };
        const value = new TextDecoder().decode(bytes.subarray(start, end));
        if (value !== fields.values.get("model")) throw new Error(`Split at ${at}: "${value}"`);
      }
    }
    expect(find([utf8.encode(FILE + END)]).spanOf("model")).toBeNull();
  });

  test("finds it byte by byte", () => {
    const bytes = Array.from(utf8.encode(FILE + MODEL + END), (byte) => Uint8Array.of(byte));
    expect(find(bytes).values.get("model")).toBe("whisper-1");
  });

  test.each([
    ["a field of another name", part('content-disposition: form-data; name="modes"', "x")],
    ["a part without a name", part("content-type: text/plain", "x")],
    ["a part without headers", `--${BOUNDARY}\r\n\r\nx\r\n`],
    [
      "a value that is too long",
      part('content-disposition: form-data; name="model"', "x".repeat(65)),
    ],
    ["a body without a delimiter", 'name="model"\r\n\r\nwhisper-1'],
    ["what comes after the end", END + MODEL],
  ])("does not take %s", (_, body) => {
    expect(find([utf8.encode(body + END)]).values.size).toBe(0);
  });

  const D = "content-disposition: form-data; name=";
  test.each([
    ["an extended name", part("content-disposition: form-data; name*=utf-8''model", "x")],
    ["a name in pieces", part('content-disposition: form-data; name*0="mo"; name*1="del"', "x")],
    ["a name apart from its value", part('content-disposition: form-data; name ="model"', "x")],
    ["a value apart from its name", part('content-disposition: form-data; name= "model"', "x")],
    ["two names", part(`${D}"x"; name="model"`, "x")],
    ["two dispositions", part(`${D}"x"\r\n${D}"model"`, "x")],
    ["a transfer encoding", part(`${D}"model"\r\ncontent-transfer-encoding: base64`, "eA==")],
    ["a charset", part(`${D}"model"\r\ncontent-type: text/plain; charset=utf-7`, "x")],
    ["headers with bare line ends", part(`x: y\n${D}"model"`, "x")],
    ["lines without CR", `${MODEL}${END}`.replaceAll("\r", "")],
    ["a boundary behind a bare LF", part(`${D}"x"`, `x\n--${BOUNDARY}\r\n${D}"model"\r\n\r\nx`)],
    ["a boundary behind a bare CR", part(`${D}"x"`, `x\r--${BOUNDARY}\r\n${D}"model"\r\n\r\nx`)],
    ["a longer boundary", part(`${D}"x"`, `x\r\n--${BOUNDARY}y\r\n${D}"model"\r\n\r\nx`)],
  ])("is unread with %s, in which another may find the field, at every split", (_, body) => {
    const bytes = utf8.encode(body + END);
    for (let at = 0; at <= bytes.length; at++) {
      const fields = find([bytes.subarray(0, at), bytes.subarray(at)]);
      if (!fields.isUnread || fields.isComplete) throw new Error(`Split at ${at} is read`);
    }
  });

  test("finds a name under whatever disposition, and leaves coded parts of others alone", () => {
    const other = part('content-disposition: x; name="model"', "m");
    const file = part(`${D}"file"; filename="f"\r\ncontent-transfer-encoding: base64`, "eA==");
    const { values, isUnread } = find([utf8.encode(file + other + END)]);
    expect([values.get("model"), isUnread]).toEqual(["m", false]);
  });

  test("reports a field in other letter case as one that is sent twice", () => {
    expect(find([utf8.encode(part(`${D}"Model"`, "x") + END)]).duplicate).toBe("model");
  });

  test("is complete with its closing boundary alone", () => {
    expect(find([utf8.encode(FILE + MODEL + END)]).isComplete).toBe(true);
    expect(find([utf8.encode(FILE + MODEL)]).isComplete).toBe(false);
    expect(find([utf8.encode((FILE + MODEL).slice(0, -2))]).isComplete).toBe(false);
  });

  test("finds an empty value and reports a field that is sent twice", () => {
    const empty = part('content-disposition: form-data; name="model"', "");
    const fields = find([utf8.encode(MODEL + empty + END)]);
    expect([fields.values.get("model"), fields.duplicate]).toEqual(["", "model"]);
  });

  test("gives up on a part whose headers never end", () => {
    const fields = find([
      utf8.encode(`--${BOUNDARY}\r\n${"x".repeat(20_000)}`),
      utf8.encode(MODEL),
    ]);
    expect([fields.values.size, fields.isUnread]).toEqual([0, true]);
    expect(find([utf8.encode(FILE + MODEL + END)]).isUnread).toBe(false);
  });
});

describe("multipartBoundary()", () => {
  test.each([
    ["multipart/form-data; boundary=abc", "abc"],
    ['Multipart/Form-Data; charset=utf-8; Boundary="a b"', "a b"],
    ["multipart/form-data;boundary=abc;", "abc"],
    [`multipart/form-data; boundary=${"a".repeat(70)}`, "a".repeat(70)],
    [`multipart/form-data; boundary=${"a".repeat(71)}`, null],
    [`multipart/form-data; boundary="${"a".repeat(71)}"`, null],
    ["multipart/form-data; boundary=abc; boundary=def", null],
    ["multipart/form-data; boundary=abc; boundary*=utf-8''def", null],
    ["multipart/form-data; boundary=abc, multipart/form-data; boundary=def", null],
    ['multipart/form-data; x="; boundary=abc"; boundary=def', "def"],
    ['multipart/form-data; boundary="abc "', null],
    ["multipart/form-data; boundary=", null],
    ["multipart/form-data", null],
    ["multipart/mixed; boundary=abc", null],
    ["application/json", null],
    [null, null],
  ])("reads %p as %p", (contentType, boundary) => {
    expect(multipartBoundary(contentType)).toBe(boundary);
  });
});
