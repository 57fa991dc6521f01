import { ownContainers } from "../../../services/socket-proxy/ownership.ts";
import {
  projectInspect,
  projectStats,
  selectEntries,
} from "../../../services/socket-proxy/project.ts";
import type { Json } from "../../../spec/canonical.ts";
import { canary, members } from "../stack.ts";
import type { Target } from "../target.ts";
import { change, type Loose, parsed, placeIn, utf8 } from "./change.ts";

/** Projection: whatever the Engine says, what nobody may see is not shown, in places that look like shown ones neither. */
export const projectTarget: Target = {
  name: "project",
  generate(random) {
    const member = random.pick(members.filter(({ isOwn }) => isOwn));
    const path = placeIn(random, member.inspect);
    const value = random.pick<Json>([
      `/${canary}/x y`,
      [canary],
      { [canary]: canary },
      `${canary}\n`,
      -1,
      null,
      "x".repeat(600),
    ]);
    return utf8({ id: member.id, path, value });
  },
  check(input) {
    const given = parsed(input) as
      | { readonly id: string; readonly path: string[]; readonly value: Json }
      | undefined;
    const member = members.find(({ id }) => id === given?.id);
    if (!given || !member || !Array.isArray(given.path)) return undefined;
    const inspect = structuredClone(member.inspect) as Loose;
    change(inspect, given);
    const entry = {
      ...inspect,
      Names: [inspect.Name],
      Labels: inspect.Config?.Labels,
      State: inspect.State?.Status,
    };
    const [own] = ownContainers("dev", [entry]);
    if (!own) return undefined;
    const filters = { labels: [], names: [], states: [], actions: [], containers: [] };
    const shown = JSON.stringify([
      projectInspect(own, inspect),
      projectStats(own, { ...inspect, pids_stats: inspect.State }),
      selectEntries([own], { all: true, limit: 0, filters }),
    ]);
    // Texts of these members are names that the rendering gives, shown as they stand.
    const isName =
      /^(Image|Config\/(Image|User|StopSignal|Labels\/.*)|HostConfig\/(NetworkMode|RestartPolicy\/Name)|NetworkSettings\/Networks.*|Mounts\/[0-9]+\/Destination)$/.test(
        given.path.join("/"),
      );
    return shown.includes(canary) && !isName
      ? `shows ${given.path.join("/")}: ${shown}`
      : undefined;
  },
};
