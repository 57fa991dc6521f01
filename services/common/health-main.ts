import { checkHealth } from "./health.ts";

// The container's healthcheck: `node /opt/berth/health.mjs [endpoint path]`.
process.exit(await checkHealth(process.argv[2], process.argv[3]));
