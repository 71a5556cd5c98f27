/**
 * Many SSE clients at once, in a process of their own: the runtime's `fetch` queues beyond a number
 * that is read from the environment at start. Arguments: URL, token, number of streams. Prints how
 * many ended well, and the slowest's milliseconds.
 */

const [url = "", token = "", count = "0"] = process.argv.slice(2);

const startedAtMs = performance.now();
const bodies = await Promise.all(
  Array.from({ length: Number(count) }, async () => {
    const response = await fetch(url, {
      method: "POST",
      body: JSON.stringify({ model: "gpt-4o", messages: [], stream: true }),
      headers: { authorization: `Bearer ${token}`, "x-mock": "tokens=2,delay=first:1500ms" },
    });
    return await response.text();
  }),
);
const whole = bodies.filter((body) => body.endsWith("data: [DONE]\n\n")).length;
process.stdout.write(JSON.stringify({ whole, slowestMs: performance.now() - startedAtMs }));
