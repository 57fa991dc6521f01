import type { Channel } from "@mattermost/types/channels";
import type { Person } from "../person.ts";
import type { Place } from "./sweep.ts";

const perPage = 200;
/** Of one channel; more is a test that writes too much. */
const mostPages = 50;

/** Every post of every channel that a person can see, direct messages and what was edited included. */
export async function* chatHistory(person: Person): AsyncGenerator<Place> {
  const { client, teamId } = person;
  const channels = new Map<string, Channel>();
  for (const one of await client.getMyChannels(teamId)) channels.set(one.id, one);
  for (const one of await client.getChannels(teamId, 0, perPage)) channels.set(one.id, one);
  for (const { id, name } of channels.values()) {
    for (let page = 0; ; page++) {
      if (page === mostPages) throw new Error(`${name} has more than ${mostPages} pages`);
      const { order, posts } = await client.getPosts(id, page, perPage);
      yield { name: `chat in ${name}, page ${page}`, content: JSON.stringify(posts) };
      if (order.length < perPage) break;
    }
  }
  const people = JSON.stringify(await client.getProfiles(0, perPage));
  yield { name: "chat: profiles of people and bots", content: people };
  yield { name: "chat: channels", content: JSON.stringify([...channels.values()]) };
}
