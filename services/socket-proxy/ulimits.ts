import type { Ulimit } from "../../spec/container.ts";
import { type Check, same } from "./compare.ts";
import { asObject, asText, type JsonObject } from "./json.ts";

/**
 * Whether a container's ulimits are the rendering's. The Engine shows its daemon's own defaults (`default-ulimits`) among
 * them and says of none where it comes from. So a container that never ran must have the rendering's alone, and a daemon
 * with defaults is noticed at the first start; one that has run may show others, which the daemon may have got since.
 * @param wasStarted whether the container has run
 */
export function areUlimits(wanted: readonly Ulimit[], wasStarted: boolean): Check {
  return (value) => {
    const shown = Array.isArray(value) ? value.map(asObject) : [];
    const isRight = wanted.every((limit) => {
      const found = shown.filter(({ Name }) => Name === limit.Name);
      return found.length === 1 && same(limit)(found[0]);
    });
    const others = shown.filter(({ Name }) => !wanted.some((limit) => limit.Name === Name));
    return isRight && (others.length === 0 || (wasStarted && others.every(isUlimit)));
  };
}

/** As a daemon's own default is shown. The Engine takes a name in any case: a "Core" would count for `core`. */
function isUlimit({ Name, Soft, Hard }: JsonObject): boolean {
  return /^[a-z]{1,16}$/.test(asText(Name)) && Number.isInteger(Soft) && Number.isInteger(Hard);
}
