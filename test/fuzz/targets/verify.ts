import { differences, type Evidence, namedVolumes } from "../../../services/socket-proxy/verify.ts";
import { agentContainer } from "../../../spec/container.ts";
import { declarationOf, imageOf, inspectOf } from "../../unit/socket-proxy/engine-double.ts";
import type { Target } from "../target.ts";
import {
  type Change,
  change,
  isNothing,
  type Loose,
  parsed,
  placeIn,
  utf8,
  values,
} from "./change.ts";

const networks = ["sealed", "mattermost", "none"] as const;

type Network = (typeof networks)[number];

function evidenceOf(network: Network) {
  const spec = agentContainer(declarationOf({ network }));
  const labels = { "berth.stack": "dev" };
  return {
    spec,
    evidence: {
      container: inspectOf(spec, "b".repeat(64)) as Loose,
      image: imageOf() as Loose,
      volumes: Object.fromEntries(
        namedVolumes(spec).map((name) => [
          name,
          { Name: name, Driver: "local", Options: null, Labels: { ...labels } },
        ]),
      ),
      networks: Object.fromEntries(
        Object.keys(spec.Networks).map((name) => [
          name,
          { Name: name, Id: "e".repeat(64), Internal: true, Labels: { ...labels } },
        ]),
      ),
      host: { defaultRuntime: "runc", cgroupVersion: "2", swapLimit: true },
    },
  };
}

/** Members of an inspect answer that are compared; the others say what it has done, or where the Engine keeps it. */
const compared =
  "Name|Image|Path|Args|Platform|AppArmorProfile|HostConfig|Config|Mounts|NetworkSettings";

/** Places that say nothing about what the container may do: each is here because somebody has thought about it. */
const harmless: readonly RegExp[] = [
  new RegExp(`^container(:(?!(${compared})(:|$)).*)?$`, "s"),
  // Unset, they are the Engine's default.
  /^container:Platform$/,
  // Enforced right after, and read back (pids.ts); a terminal's size; no effect on a container that exists.
  /^container:HostConfig:(PidsLimit|ConsoleSize)(:|$)/,
  /^container:Config:(Image|AttachStdout|AttachStderr|OnBuild|Shell)(:|$)/,
  // Unset is -1 to some Engines.
  /^container:HostConfig:MemorySwappiness$/,
  // Beyond the eight paths that every Engine hides.
  /^container:HostConfig:(MaskedPaths|ReadonlyPaths):[0-9]+$/,
  /^container:HostConfig:RestartPolicy:MaximumRetryCount$/,
  // What stands behind the paths of volumes is always an empty object; what is mounted is compared by itself.
  /^container:Config:Volumes:[^:]+(:|$)/,
  // A label of the image that is not there, or is no text.
  /^container:Config:Labels:berth[.]image$/,
  // Mounts and endpoints: the members that are not of the rendering.
  /^container:Mounts:[0-9]+:(?!(Type|Source|Name|Destination|RW|Driver|Propagation)(:|$)).*$/s,
  /^container:NetworkSettings(:(?!Networks:).*)?$/s,
  /^container:NetworkSettings:Networks:[^:]+:(?!(IPAMConfig|Links|DriverOpts|NetworkID)$).*$/s,
  /^container:NetworkSettings:Networks:none(:|$)/,
  // The image: what counts is its id, its labels and what it adds to the container.
  /^image(:(?!(Id|Config)$)(?!Config:(Env|ExposedPorts|Labels)(:|$)).*)?$/s,
  /^image:Config:Labels:(?!berth[.])/,
  // Volumes and networks: name, driver, options, labels and whether it is internal are compared.
  /^(volumes|networks)(:[^:]*)?:(?!(Name|Driver|Options|Internal|Labels)(:|$))[^:]*(:(?!(Name|Driver|Options|Internal|Labels)(:|$)).*)?$/s,
  /^(volumes|networks):[^:]*:Labels:(?!berth[.]stack$)/,
  /^host(:|$)/,
  // No part of what is compared.
  /^(?!(container|image|volumes|networks)(:|$))/,
];

/** Places where nothing is as good as what is rendered. */
const mayBeUnset = /:Propagation$|^container:Config:Volumes$/;

/** Labels are texts, and an endpoint's addresses an object: the Engine answers with nothing else there. */
function isNoAnswer(place: string, value: unknown): boolean {
  return (
    (/^container:Config:Labels:[^:]*$/.test(place) && typeof value !== "string") ||
    (place.endsWith(":IPAMConfig") && (typeof value !== "object" || Array.isArray(value)))
  );
}

/** Verification: any single change of what the Engine says is found, unless its place is known to be harmless. */
export const verifyTarget: Target = {
  name: "verify",
  generate(random) {
    const network = random.pick(networks);
    const path = placeIn(random, evidenceOf(network).evidence);
    return utf8({ network, path, ...(random.percent(12) ? {} : { value: random.pick(values) }) });
  },
  check(input) {
    const given = parsed(input) as (Change & { readonly network: Network }) | undefined;
    if (!given || !networks.includes(given.network) || !Array.isArray(given.path)) return undefined;
    const { spec, evidence } = evidenceOf(given.network);
    const isChange = change(evidence, given);
    const maps = {
      volumes: new Map(Object.entries(evidence.volumes ?? {})),
      networks: new Map(Object.entries(evidence.networks ?? {})),
    };
    const found = differences(spec, "dev", {
      ...evidence,
      ...maps,
      host: evidence.host ?? {},
    } as Evidence);
    const place = given.path.join(":");
    // Unset in another spelling: nothing is said of whether that is found.
    if (
      !isChange ||
      (mayBeUnset.test(place) && isNothing(given.value)) ||
      isNoAnswer(place, given.value)
    )
      return undefined;
    if (found.length > 0 || harmless.some((pattern) => pattern.test(place))) return undefined;
    return `does not find ${place} = ${JSON.stringify(given.value)}`;
  },
};
