import { defineConfig } from "vitest/config";

/**
 * The tests by which the mutation score is taken: of the socket proxy and of what it renders, without those that wait, fuzz or
 * start processes.
 */
export default defineConfig({
  test: {
    include: ["test/unit/{socket-proxy,spec}/*.test.ts"],
    exclude: ["test/unit/socket-proxy/{fuzz,privileges,audit,connections}.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
