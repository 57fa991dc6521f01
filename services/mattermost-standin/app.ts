import type { Log } from "../common/log.ts";
import type { Config } from "./config.ts";
import type { Hub } from "./hub.ts";
import type { Database } from "./store/database.ts";

/** What every part of the running stand-in shares. */
export interface App {
  readonly config: Config;
  readonly db: Database;
  readonly hub: Hub;
  readonly log: Log;
}

/** The API level that the stand-in follows, then what it is; in `X-Version-Id` and `hello`. */
export const apiVersion = "11.7.0";
export const serverVersion = `${apiVersion}.berth-standin.0.false`;
