/**
 * Holds answers of the management API to its own description. Reveals a field that is answered and
 * not described, described and not answered, or of another type; and an undocumented operation.
 */

type Json = Record<string, unknown>;

/** Parameters of the path and what follows it, taken out. */
interface Documented {
  readonly path: string;
  readonly operation: Json;
}

export class ApiDocument {
  readonly #document: Json;

  /** @param document as `GET /manage/openapi.json` answers it */
  constructor(document: unknown) {
    this.#document = record(document, "the document");
  }

  /** Every operation, as `GET /manage/projects/{id}`. */
  operations(): string[] {
    return Object.entries(record(this.#document["paths"], "paths")).flatMap(([path, item]) =>
      Object.keys(record(item, path))
        .filter((key) => key !== "parameters")
        .map((method) => `${method.toUpperCase()} ${path}`),
    );
  }

  /** The names of the fields that an operation's body may have, sorted. */
  bodyFields(method: string, path: string): string[] {
    const { operation } = this.#find(method, path);
    if (operation["requestBody"] === undefined) return [];
    return Object.keys(record(schemaOf(operation["requestBody"])["properties"], "properties"));
  }

  /** What of an answer is not as described; null: all is. */
  complaint(method: string, path: string, status: number, text: string): string | null {
    const { operation } = this.#find(method, path);
    const responses = record(operation["responses"], "responses");
    const response = responses[String(status)] ?? (status >= 400 ? responses["default"] : null);
    if (response === undefined || response === null) return `${status} is not described`;
    const hasContent = Object.hasOwn(record(response, "response"), "content");
    if (!hasContent) return text === "" ? null : "has a body that is not described";
    return this.#mismatch(schemaOf(response), JSON.parse(text), "body");
  }

  #find(method: string, path: string): Documented {
    const { pathname } = new URL(path, "http://127.0.0.1");
    // A literal path comes before one with parameters.
    const byParameters = Object.entries(record(this.#document["paths"], "paths")).toSorted(
      ([left], [right]) => left.split("{").length - right.split("{").length,
    );
    for (const [template, item] of byParameters) {
      const pattern = template.replaceAll(".", "\\.").replace(/\{\w+\}/g, "[^/]+");
      const operation = record(item, template)[method.toLowerCase()];
      if (operation === undefined || !new RegExp(`^${pattern}$`).test(pathname)) continue;
      return { path: template, operation: record(operation, template) };
    }
    throw new Error(`${method} ${pathname} is not described`);
  }

  #mismatch(schema: Json, value: unknown, at: string): string | null {
    const { $ref, type, oneOf } = schema;
    if (typeof $ref === "string") return this.#mismatch(this.#referred($ref), value, at);
    if (Array.isArray(oneOf)) {
      const all = oneOf.map((one) => this.#mismatch(record(one, at), value, at));
      return all.filter((one) => one === null).length === 1 ? null : `${at}: ${all.join("; or ")}`;
    }
    const types: unknown[] = Array.isArray(type) ? type : [type];
    if (!types.includes(typeOf(value)) && !(types.includes("number") && isNumber(value))) {
      return `${at} is ${typeOf(value)}, not ${types.join(" or ")}`;
    }
    const { enum: values, format, minimum } = schema;
    if (Array.isArray(values) && !values.includes(value)) return `${at} is none of ${values}`;
    if (format === "date-time" && typeof value === "string" && !/^[\d-]+T[\d:.]+Z$/.test(value)) {
      return `${at} is no time`;
    }
    if (isNumber(minimum) && isNumber(value) && value < minimum) return `${at} is too small`;
    return this.#childMismatch(schema, value, at);
  }

  #childMismatch(schema: Json, value: unknown, at: string): string | null {
    if (Array.isArray(value)) {
      const items = record(schema["items"], at);
      return first(value, (one, index) => this.#mismatch(items, one, `${at}[${index}]`));
    }
    if (!isRecord(value)) return null;
    const properties = record(schema["properties"] ?? {}, at);
    const required = Array.isArray(schema["required"]) ? schema["required"] : [];
    const lacking = required.find((name) => !Object.hasOwn(value, String(name)));
    if (lacking !== undefined) return `${at}.${String(lacking)} is missing`;
    return first(Object.entries(value), ([name, one]) => {
      const property = properties[name];
      if (property !== undefined) return this.#mismatch(record(property, at), one, `${at}.${name}`);
      return schema["additionalProperties"] === false ? `${at}.${name} is not described` : null;
    });
  }

  #referred(pointer: string): Json {
    const parts = pointer.replace("#/", "").split("/");
    return parts.reduce((at, part) => record(at[part], pointer), this.#document);
  }
}

function schemaOf(holder: unknown): Json {
  const content = record(record(holder, "holder")["content"], "content");
  return record(record(content["application/json"], "media type")["schema"], "schema");
}

function first<T>(
  entries: readonly T[],
  complain: (entry: T, index: number) => string | null,
): string | null {
  for (const [index, entry] of entries.entries()) {
    const complaint = complain(entry, index);
    if (complaint !== null) return complaint;
  }
  return null;
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return Number.isInteger(value) ? "integer" : typeof value;
}

function isNumber(value: unknown): value is number {
  return typeof value === "number";
}

function isRecord(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function record(value: unknown, what: string): Json {
  if (isRecord(value)) return value;
  throw new TypeError(`${what} is no object`);
}
