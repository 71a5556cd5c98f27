/**
 * What importing a `.sql` file with `{ type: "text" }` gives. TypeScript has no built-in notion of
 * it.
 */

declare module "*.sql" {
  const text: string;
  export default text;
}
