/**
 * What a command sees of the process, as a value, so that tests run commands without one.
 *
 * Owns: the interface and its implementation on the real process. Does not own: any command.
 * Invariant: only `processIo` touches `process`; a secret that is typed is never echoed.
 */

interface Output {
  write(text: string): void;
}

interface Input {
  readonly isTerminal: boolean;
  /** Everything until the end of input. */
  readAll(): Promise<string>;
  /** A line typed without echo. Rejects where input is no terminal. */
  readSecret(prompt: string): Promise<string>;
}

export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly stdin: Input;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether standard output is a terminal. */
  readonly isTerminal: boolean;
  /** Whether standard error is one. */
  readonly isErrorTerminal: boolean;
  /** Folder that relative paths start from. */
  readonly cwd: string;
  fetch(request: Request): Promise<Response>;
}

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;
/** A key or a document; more than this is a mistake. */
const INPUT_BYTES_MAX = 1024 * 1024;

/** The real process. */
export function processIo(): Io {
  // `sluice usage | head` closes the pipe early, which is no error.
  process.stdout.on("error", ignoreClosedPipe);
  return {
    stdout: { write: (text) => void process.stdout.write(text) },
    stderr: { write: (text) => void process.stderr.write(text) },
    stdin: {
      isTerminal: process.stdin.isTTY === true,
      readAll: readProcessInput,
      readSecret: readProcessSecret,
    },
    env: process.env,
    isTerminal: process.stdout.isTTY === true,
    isErrorTerminal: process.stderr.isTTY === true,
    cwd: process.cwd(),
    fetch: fetchDirectly,
  };
}

/** Arguments behind the executable's (or the script's) name. */
export function processArguments(): readonly string[] {
  return process.argv.slice(2);
}

/** Sets what the process exits with once nothing keeps it alive: output is written out first. */
export function exitWith(code: number): void {
  process.exitCode = code;
}

/** The runtime would send a request for this machine, token and all, to `HTTP_PROXY` too. */
function fetchDirectly(request: Request): Promise<Response> {
  const isLoopback = LOOPBACK.test(new URL(request.url).hostname);
  return isLoopback ? fetch(request, { proxy: false }) : fetch(request);
}

async function readProcessInput(): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of process.stdin) {
    const bytes = Buffer.from(chunk);
    size += bytes.byteLength;
    if (size > INPUT_BYTES_MAX) throw new Error("Cannot read standard input: more than 1 MiB");
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function readProcessSecret(prompt: string): Promise<string> {
  const { stdin, stderr } = process;
  if (stdin.isTTY !== true) return Promise.reject(new Error("Cannot prompt: input is no terminal"));
  stderr.write(prompt);
  stdin.setRawMode(true);
  stdin.resume();
  return new Promise((resolve, reject) => {
    const line = new SecretLine();
    stdin.on("data", function take(chunk: Uint8Array) {
      const state = line.type(Buffer.from(chunk).toString("utf8"));
      if (state === "typing") return;
      stdin.off("data", take);
      stdin.setRawMode(false);
      stdin.pause();
      stderr.write("\n");
      if (state === "done") resolve(line.text);
      else reject(new Error("Cancelled"));
    });
  });
}

/** A line as raw keys make it. */
export class SecretLine {
  text = "";

  /** Takes typed characters. `cancelled` on Ctrl-C and on Ctrl-D. */
  type(keys: string): "typing" | "done" | "cancelled" {
    for (const key of keys) {
      if (key === "\r" || key === "\n") return "done";
      if (key === "\u0003" || key === "\u0004") return "cancelled";
      if (key === "\u007f" || key === "\b") this.text = this.text.slice(0, -1);
      else if (key >= " ") this.text += key;
    }
    return "typing";
  }
}

function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code === "EPIPE") return;
  process.stderr.write(`error: Cannot write to standard output: ${error.code}\n`);
  process.exitCode = 1;
}
