import { defineConfig } from "vitest/config";

/** The suites by what they prove; see test/README.md. `integration` needs an Engine and the Pulumi CLI. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "fast",
          include: ["test/unit/**/*.test.ts", "test/graph/**/*.test.ts", "services/**/*.test.ts"],
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: "integration",
          include: ["test/integration/**/*.test.ts"],
          testTimeout: 300_000,
          hookTimeout: 900_000,
          fileParallelism: false,
          pool: "forks",
        },
      },
    ],
  },
});
