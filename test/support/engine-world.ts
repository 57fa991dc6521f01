import { engine } from "./engine.ts";

/** What exists on an Engine beside the stacks of other tests: what a test says "nothing more" about. */
export interface World {
  readonly containers: readonly string[];
  readonly volumes: readonly string[];
  readonly networks: readonly string[];
  readonly images: readonly string[];
  readonly plugins: readonly string[];
  readonly swarm: string;
}

type Labels = Readonly<Record<string, string>> | null;

/**
 * Asks the Engine for all that it has, without what is visibly somebody else's: other tests may be at work. Containers: those
 * of this stack's label or of the test's image; the rest: whatever carries no other stack's label or image name.
 * @param stack own stack; @param imageId id of the image that everything of the test is made of
 */
export async function worldOf(stack: string, imageId: string): Promise<World> {
  const [containers, { Volumes }, networks, images, plugins, { Swarm }] = await Promise.all([
    engine<
      {
        Id: string;
        Names: string[];
        ImageID: string;
        Labels: Labels;
        Mounts: { Name?: string }[];
      }[]
    >("/containers/json?all=1"),
    engine<{ Volumes: { Name: string; Labels: Labels }[] | null }>("/volumes"),
    engine<{ Id: string; Name: string; Labels: Labels }[]>("/networks"),
    engine<{ Id: string; RepoTags: string[] | null; Labels: Labels }[]>("/images/json?all=1"),
    engine<{ Name: string }[]>("/plugins"),
    engine<{ Swarm: { LocalNodeState: string } }>("/info"),
  ]);
  const isOthers = (labels: Labels) => {
    const owner = labels?.["berth.stack"];
    return owner !== undefined && owner !== stack;
  };
  const isOthersTag = (tag: string) => tag.startsWith("localhost/berth/") && !tag.includes(stack);
  const isOwn = ({ ImageID, Labels }: (typeof containers)[number]) =>
    ImageID === imageId || Labels?.["berth.stack"] === stack;
  const usedByOthers = new Set(
    containers.filter((item) => !isOwn(item)).flatMap(({ Mounts }) => Mounts.map((m) => m.Name)),
  );
  return {
    containers: containers
      .filter(isOwn)
      .map(({ Id, Names }) => `${Names[0]} ${Id}`)
      .sort(),
    volumes: (Volumes ?? [])
      .filter(({ Name, Labels }) => !isOthers(Labels) && !usedByOthers.has(Name))
      .map(({ Name }) => Name)
      .sort(),
    networks: networks
      .filter(({ Labels }) => !isOthers(Labels))
      .map(({ Id, Name }) => `${Name} ${Id}`)
      .sort(),
    images: images
      .filter(
        ({ Id, RepoTags, Labels }) =>
          Id === imageId || !(isOthers(Labels) || (RepoTags ?? []).every(isOthersTag)),
      )
      .map(({ Id, RepoTags }) => `${Id} ${[...(RepoTags ?? [])].sort().join(" ")}`)
      .sort(),
    plugins: plugins.map(({ Name }) => Name).sort(),
    swarm: Swarm.LocalNodeState,
  };
}
