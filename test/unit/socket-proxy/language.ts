import type { Recorded } from "./engine-double.ts";

const id = "[0-9a-f]{64}";
const filters = (json: string) => encodeURIComponent(json).replaceAll(/[.*()]/g, "\\$&");
const stackLabel = '"label":["berth.stack=dev"';

/** The closed language, written a second time: every request that the Engine may get for stack `dev`. */
const language: readonly RegExp[] = [
  "GET /v1\\.41/_ping",
  "GET /version",
  "GET /v1\\.41/info",
  "GET /v1\\.41/containers/json\\?limit=1",
  `GET /v1\\.41/containers/json\\?all=1&filters=${filters(`{${stackLabel}]}`)}`,
  `GET /v1\\.41/containers/json\\?all=1&filters=${filters(`{${stackLabel}],"name":["^/berth-dev-NAME$"]}`).replace("NAME", "[a-z0-9-]{1,40}(%5B\\.%5D[a-z0-9-]+%5B\\.%5D[a-z0-9-]+)?")}`,
  `GET /v1\\.41/containers/json\\?all=1&filters=${filters(`{"id":["ID"],${stackLabel}]}`).replace("ID", id)}`,
  `GET /v1\\.41/containers/${id}/json`,
  `POST /v1\\.41/containers/${id}/(start|update)`,
  "POST /v1\\.41/containers/create\\?name=berth-dev-[a-z0-9-]+\\.[a-z0-9-]+\\.[a-z0-9-]+",
  `DELETE /v1\\.41/containers/${id}\\?force=1&v=1`,
  `POST /v1\\.41/containers/${id}/kill\\?signal=SIG(TERM|INT|KILL|HUP)`,
  `GET /v1\\.41/containers/${id}/stats\\?stream=0&one-shot=1`,
  `POST /v1\\.41/containers/${id}/stop\\?t=([0-9]{1,2}|[1-5][0-9]{2}|600)`,
  `POST /v1\\.41/containers/${id}/wait\\?condition=(not-running|next-exit|removed)`,
  `GET /v1\\.41/containers/${id}/logs\\?follow=[01]&stdout=[01]&stderr=[01]&timestamps=[01]&tail=(all|[0-9]{1,6})(&since=[0-9.]+)?(&until=[0-9.]+)?`,
  `GET /v1\\.41/events\\?filters=${filters('{"type":["container","volume"]}')}`,
  `GET /v1\\.41/volumes\\?filters=${filters(`{${stackLabel},"berth.declaration"]}`)}`,
  "GET /v1\\.41/volumes/berth-dev-[a-z0-9-]+-workspace",
  "GET /v1\\.41/networks/berth-dev-(mattermost|socket-proxy|egress|ingress)-net",
  "GET /v1\\.41/images/localhost/berth/node:0123456789ab/json",
].map((pattern) => new RegExp(`^${pattern}$`));

/** Bodies: a pids limit, or a rendering, which the tests of creates compare whole. */
function isBody(path: string, body: string): boolean {
  if (path.endsWith("/update")) return /^\{"PidsLimit":[0-9]+\}$/.test(body);
  return path.includes("/containers/create?") ? body.startsWith('{"Image":') : body === "";
}

/** What of these requests is not in the language; empty, or the proof of a hole. */
export function outsideLanguage(recorded: readonly Recorded[]): string[] {
  return recorded.flatMap(({ method, path, body, headers }) => {
    const request = `${method} ${path}`;
    const names = headers.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
    const known = ["host", "connection", "content-type", "content-length"];
    const right =
      language.some((pattern) => pattern.test(request)) &&
      names.every((name) => known.includes(name)) &&
      isBody(path, body);
    return right ? [] : [`${request} ${body} ${headers.join(" ")}`];
  });
}
