import { data } from "./data.ts";
import { defineFleet } from "./define.ts";
import { lal } from "./lal.ts";

/** Every agent of the stack. Adding one: its file, its import, its name here. */
export const agents = defineFleet([data, lal]);
