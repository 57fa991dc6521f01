import { Client4 } from "@mattermost/client";
import type { Post } from "@mattermost/types/posts";
import { until } from "./engine.ts";

/** A person at the chat, through the unmodified client library. */
export class Person {
  readonly client: Client4;
  readonly userId: string;
  readonly teamId: string;

  private constructor(client: Client4, userId: string, teamId: string) {
    this.client = client;
    this.userId = userId;
    this.teamId = teamId;
  }

  static async login(url: string, name: string, password: string, team = "berth"): Promise<Person> {
    const client = new Client4();
    client.setUrl(url);
    const me = await client.login(name, password);
    const { id } = await client.getTeamByName(team);
    return new Person(client, me.id, id);
  }

  /** Id of a channel of the team, by name. */
  async channel(name: string): Promise<string> {
    return (await this.client.getChannelByName(this.teamId, name)).id;
  }

  /** Id of the direct channel with someone. */
  async direct(username: string): Promise<string> {
    const user = await this.client.getUserByUsername(username);
    return (await this.client.createDirectChannel([this.userId, user.id])).id;
  }

  /** Writes a message; in a thread where `rootId` is given. */
  say(channelId: string, message: string, rootId = ""): Promise<Post> {
    return this.client.createPost({ channel_id: channelId, message, root_id: rootId } as Post);
  }

  /** Every post of a channel, oldest first. */
  async posts(channelId: string): Promise<Post[]> {
    const page = await this.client.getPosts(channelId, 0, 200);
    return Object.values(page.posts).sort((a, b) => a.create_at - b.create_at);
  }

  /** Waits for a post of `username` after `after` whose text matches; its final text is asked again until it matches. */
  async answer(
    channelId: string,
    username: string,
    after: Post,
    matching: RegExp,
    timeoutMs = 60_000,
  ): Promise<Post> {
    const { id } = await this.client.getUserByUsername(username);
    return until(
      `an answer of ${username} like ${matching}`,
      async () =>
        (await this.posts(channelId)).find(
          (post) =>
            post.user_id === id && post.create_at >= after.create_at && matching.test(post.message),
        ),
      timeoutMs,
    );
  }
}
