import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readDockerLine } from "../../cli/docker-line.ts";
import { docker, dockerCommand } from "../support/docker-cli.ts";

// `berth proxy explain` reads docker run lines itself; here the real docker command says what it makes of the same words.

const command = dockerCommand();
let folder: string;
let server: http.Server;
const creates: { readonly target: string; readonly body: unknown }[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "berth-docker-line-"));
  server = http.createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const { url = "" } = request;
      response.setHeader("api-version", "1.41");
      response.setHeader("ostype", "linux");
      if (url.includes("/_ping")) return response.end("OK");
      if (url.includes("/create")) {
        creates.push({
          target: url,
          body: JSON.parse(Buffer.concat(parts).toString()) as unknown,
        });
      }
      response.writeHead(403, { "content-type": "application/json" });
      response.end('{"message":"enough"}');
    });
  });
  await new Promise<void>((resolve) => server.listen(join(folder, "docker.sock"), resolve));
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

/** Maps whose keys say something whatever their values are. */
const speaking = new Set(["Labels", "Tmpfs", "Volumes", "ExposedPorts", "Options", "Sysctls"]);

/** Without members that say nothing, in one order: what two bodies have in common that mean the same. */
function essence(value: unknown, key = ""): unknown {
  if (value === null || value === "" || value === 0 || value === false) return undefined;
  if (Array.isArray(value)) {
    if (value.length === 0 && !key.endsWith("Paths")) return undefined;
    const items = value.map((item: unknown) => essence(item) ?? item);
    // The docker command keeps them in a map, and writes them in any order.
    return key === "Binds" ? items.sort() : items;
  }
  if (typeof value !== "object") return value;
  const members = Object.entries(value)
    .map(([name, member]) => [name, speaking.has(key) ? member : essence(member, name)] as const)
    .filter(([, member]) => member !== undefined);
  return members.length === 0 ? undefined : Object.fromEntries(members);
}

const lines = [
  "-d",
  "",
  "-a stdout",
  "-d --name lal.review.x1 -l a=b -l c -e K=v --env=L=w",
  "-d -v vol:/x:ro -v /anon -v /var/run/docker.sock:/s",
  "-d --mount type=bind,src=/,dst=/host,readonly --mount dst=/anon",
  "-d --mount type=volume,src=v,dst=/y,volume-opt=type=nfs,volume-driver=local",
  "-d --mount type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1777",
  "-d --mount type=bind,source=/a,target=/b,bind-propagation=rshared",
  "-d --network foo --network-alias al --ip 1.2.3.4 --link a:b",
  "-d --network name=foo,alias=bar",
  "-d --network host",
  "-d --network container:x --restart always",
  "-d -m 512m --memory-swap 1g --memory-swappiness 10 --memory-reservation 256m --cpus 1.5",
  "-d -c 5 --cpuset-cpus 0 --pids-limit 100 --shm-size 64m",
  "-d --cap-add SYS_ADMIN --cap-add cap_net_raw --cap-drop all --privileged",
  "-d --pid host --ipc host --uts host --userns host",
  "-d --device /dev/null --device /dev/zero:/dev/x:r --device-cgroup-rule 'c 1:3 rwm'",
  "-d --security-opt no-new-privileges --security-opt apparmor=unconfined",
  "-d --security-opt systempaths=unconfined --security-opt seccomp=unconfined",
  "-d --read-only -u 0:0 --entrypoint sh --restart on-failure:3 -w /w",
  "-d --tmpfs /tmp:size=1m --tmpfs /run -p 80 -p 127.0.0.1:8080:81/udp -P --expose 99",
  "-d --rm --init --ulimit nofile=1:2 --ulimit core=0 --group-add docker",
  "-d --add-host a:1.2.3.4 --dns 8.8.8.8 --dns-option x --dns-search y --runtime kata",
  "-d --health-cmd true --health-interval 5s --health-timeout 1m30s --health-retries 3",
  "-d --no-healthcheck --sysctl net.x=1 --log-driver syslog --log-opt a=b -h hh",
  "-d --stop-signal SIGINT --stop-timeout 5 --storage-opt size=1G --volumes-from c",
  "-d --volume-driver vd --oom-score-adj 5 --cgroup-parent /x --blkio-weight 10",
  "-d --gpus all --init=false",
  "-dit -eA=b -m1g --label=x=y",
  "-d --sig-proxy=false --pull never --detach-keys a",
];

describe(`docker ${command.version} and the reader of docker lines`, () => {
  for (const flags of lines) {
    it(`mean the same by: docker run ${flags}`, async () => {
      creates.length = 0;
      const words = [...flags.matchAll(/'([^']*)'|(\S+)/g)].map(
        ([, quoted, plain]) => quoted ?? plain ?? "",
      );
      const args = ["run", ...words, "img", "sh", "-c", "true"];
      const { stderr } = await docker(command, `unix://${folder}/docker.sock`, args);
      const [sent] = creates;
      if (!sent) throw new Error(`the docker command sent nothing: ${stderr}`);
      const { name, body } = readDockerLine(`docker run ${flags} img sh -c true`);
      expect(essence(body)).toEqual(essence(sent.body));
      expect(new URL(sent.target, "http://x").searchParams.get("name")).toBe(name ?? null);
    });
  }
});
