import { describe, expect, test } from "bun:test";
import { otherCharset } from "../../src/lib/charset.ts";

describe("otherCharset()", () => {
  test.each([
    [null, null],
    ["application/json", null],
    ["application/json; charset=utf-8", null],
    ['application/json;CHARSET="UTF-8"', null],
    ["multipart/form-data; boundary=b; charset=us-ascii", null],
    ["text/plain; charset=ISO-8859-1; format=flowed", null],
    ["application/json; charset=", null],
    ["application/json; charset=utf-7", "utf-7"],
    ['application/json; charset = "UTF-16"', "utf-16"],
    ["application/json; charset=utf-8; charset=utf-7", "utf-7"],
    ["application/json; charset*=us-ascii''utf-7", "*us-ascii''utf-7"],
    ["application/json; charset='utf-7'", "'utf-7'"],
    ["application/json; charset=utf-8, text/plain; charset=utf-7", "utf-8,text/plain"],
  ])("finds in %p %p", (contentType, expected) => {
    expect(otherCharset(contentType)).toBe(expected);
  });
});
