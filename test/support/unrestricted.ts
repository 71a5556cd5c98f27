/** What restricts nothing, for the rows and principals of tests. */

import type { Restrictions } from "../../src/exchange.ts";

export const UNRESTRICTED: Restrictions = {
  models: null,
  endpoints: null,
  tiers: null,
  limits: {},
};
