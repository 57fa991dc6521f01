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
 * Asks the Engine for all that it has, without what another stack's label or one of berth's own images shows to be somebody
 * else's: other tests may be at work. Whatever is of this stack, of its image, or of nobody, is in it.
 * @param stack own stack; @param imageId id of the image that everything of the test is made of
 */
export async function worldOf(stack: string, imageId: string): Promise<World> {
  const [containers, { Volumes }, networks, images, plugins, { Swarm }] = await Promise.all([
    engine<{ Id: string; Names: string[]; ImageID: string; Image: string; Labels: Labels }[]>(
      "/containers/json?all=1",
    ),
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
  return {
    containers: containers
      .filter(
        ({ ImageID, Image, Labels }) =>
          ImageID === imageId || !(isOthers(Labels) || isOthersTag(Image)),
      )
      .map(({ Id, Names }) => `${Names[0]} ${Id}`)
      .sort(),
    volumes: (Volumes ?? [])
      .filter(({ Labels }) => !isOthers(Labels))
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
