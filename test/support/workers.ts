/** Workers that a test can kill: while `use` runs, every Worker that is started is listed. */
export async function withWorkers(use: (started: readonly Worker[]) => Promise<void>) {
  const started: Worker[] = [];
  const Original = globalThis.Worker;
  globalThis.Worker = class extends Original {
    constructor(...parameters: ConstructorParameters<typeof Original>) {
      super(...parameters);
      started.push(this);
    }
  };
  try {
    await use(started);
  } finally {
    globalThis.Worker = Original;
  }
}
