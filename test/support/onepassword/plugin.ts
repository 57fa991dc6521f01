import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Puts what stands in for 1Password's plugin (plugin.mjs) into a folder, under the name that Pulumi looks for. */
export function writePlugin(folder: string): void {
  const program = fileURLToPath(new URL("plugin.mjs", import.meta.url));
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, "pulumi-resource-onepassword"),
    `#!/bin/sh\nexec "${process.execPath}" "${program}" "$@"\n`,
    { mode: 0o755 },
  );
}
