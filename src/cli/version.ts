/**
 * The version of this executable. Owns nothing else; the invariant is that package.json is the only
 * place where it is written.
 */

import manifest from "../../package.json" with { type: "json" };

export const VERSION: string = manifest.version;
