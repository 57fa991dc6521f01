import { beforeAll, describe, expect, inject, it } from "vitest";
import { engine, exec, inspect, logsOf, until } from "../support/engine.ts";
import { canary } from "../support/fleet.ts";
import { Person } from "../support/person.ts";
import { Stack } from "../support/stack.ts";

const stack = Stack.attach(inject("stack"));
const inside = async (agent: string, script: string) =>
  exec(stack.container(agent), ["/bin/bash", "-c", script]);
/** Runs a piece of JavaScript in the agent's container; it ends within 15 s by itself. */
const node = async (agent: string, code: string) =>
  exec(stack.container(agent), [
    "/usr/local/bin/node",
    "--input-type=module",
    "-e",
    `setTimeout(() => { console.log("timeout"); process.exit(9); }, 15000).unref();\n${code}`,
  ]);

beforeAll(async () => {
  const operator = await Person.login(stack.mattermostUrl, "operator", inject("operatorPassword"));
  const square = await operator.channel("town-square");
  for (const agent of ["probe", "scout", "lal"]) {
    const question = await operator.say(square, `@${agent} wake up`);
    await operator.answer(square, agent, question, /wake up/);
  }
});

describe("from inside a sealed agent", () => {
  it("A20: there is no interface but loopback, no route, and no other process", async () => {
    const { output } = await inside(
      "probe",
      "cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '; echo --; tail -n +2 /proc/net/route; echo --; for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null; echo; done",
    );
    const [interfaces, routes, processes] = output.split("--\n");
    expect(
      interfaces
        ?.trim()
        .split("\n")
        .filter((name) => !/^(tunl|sit|gre|ip6|erspan|ip_vti|teql|dummy|bond|ifb)/.test(name)),
    ).toEqual(["lo"]);
    expect(routes?.trim()).toBe("");
    const others = (processes ?? "")
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "" && !/^(\/bin\/)?(bash|tr) /.test(`${line} `));
    expect(others.length).toBeGreaterThanOrEqual(2);
    for (const line of others) expect(line).toMatch(/docker-init|agent-runner\.mjs|demo-agent/);
  });

  it("every process has no effective, permitted or bounding capability, no_new_privs and a seccomp filter", async () => {
    const { output } = await inside(
      "probe",
      "grep -hE '^(CapEff|CapPrm|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status",
    );
    expect(output).toMatch(/CapPrm:\s+0000000000000000/);
    expect(output).toMatch(/CapEff:\s+0000000000000000/);
    expect(output).toMatch(/CapBnd:\s+0000000000000000/);
    expect(output).toMatch(/NoNewPrivs:\s+1/);
    expect(output).toMatch(/Seccomp:\s+2/);
  });

  it("nothing can be written outside the workspace and /tmp, the socket directory included", async () => {
    const { output } = await inside(
      "probe",
      `for d in / /etc /usr/local/bin /opt/berth /var /home /run /run/berth /sys /proc/sys/kernel /dev; do
      if (echo x > $d/berth-probe) 2>/dev/null; then echo "wrote $d"; rm -f $d/berth-probe; fi; done
      (echo x > /workspace/berth-probe) && echo "ok workspace"; (echo x > /tmp/berth-probe) && echo "ok tmp"; rm -f /workspace/berth-probe`,
    );
    expect(
      output
        .trim()
        .split("\n")
        .filter((line) => line !== "wrote /dev"),
    ).toEqual(["ok workspace", "ok tmp"]);
  });

  it("/tmp does not allow to execute what was written there", async () => {
    const { output } = await inside(
      "probe",
      "printf '#!/bin/sh\\necho ran\\n' > /tmp/x; chmod +x /tmp/x; /tmp/x",
    );
    expect(output).toMatch(/Permission denied/);
  });

  it("the proxy, Postgres, Mattermost and another agent have no route and no name", async () => {
    const addresses: string[] = [];
    for (const part of ["docker-socket-proxy", "mattermost", "scout", "egress-gateway"]) {
      for (const n of Object.values(
        (await inspect(stack.container(part))).NetworkSettings.Networks,
      )) {
        if (n.IPAddress) addresses.push(n.IPAddress);
        if (n.Gateway) addresses.push(n.Gateway);
      }
    }
    expect(addresses.length).toBeGreaterThan(3);
    const targets = [
      ...addresses.map((a) => `${a}:8065`),
      ...addresses.map((a) => `${a}:2375`),
      "docker-socket-proxy:2375",
      "mattermost:8065",
      "postgres:5432",
      "scout:8065",
      "host.docker.internal:80",
    ];
    const { output } = await node(
      "probe",
      `
      import net from "node:net";
      const targets = ${JSON.stringify(targets)};
      for (const target of targets) {
        const [host, port] = target.split(":");
        const result = await new Promise((done) => {
          const s = net.connect({ host, port: Number(port), timeout: 1500 });
          s.on("connect", () => { s.destroy(); done("CONNECTED"); });
          s.on("timeout", () => { s.destroy(); done("timeout"); });
          s.on("error", (e) => done(e.code));
        });
        console.log(target, result);
      }`,
    );
    expect(output).not.toMatch(/CONNECTED/);
    expect(output.match(/ENETUNREACH|EAI_AGAIN|ENOTFOUND|EHOSTUNREACH/g)?.length).toBe(
      targets.length,
    );
  });

  it("an allow-listed host is reached through the gateway and another is refused", async () => {
    const fetchVia = (host: string) =>
      node(
        "probe",
        `
      import http from "node:http";
      const r = http.request({ host: "127.0.0.1", port: 3128, path: "http://${host}/hello", headers: { host: "${host}" } }, (a) => {
        a.setEncoding("utf8"); let t = ""; a.on("data", (p) => t += p); a.on("end", () => { console.log(a.statusCode, t); process.exit(0); });
      });
      r.on("error", (e) => { console.log("error", e.code); process.exit(0); });
      r.end();`,
      );
    const good = await fetchVia("allowed.example.test");
    expect(good.output).toMatch(/^200 /);
    const bad = await fetchVia("refused.example.test");
    expect(bad.output).toMatch(/^403 /);
    const seen = await logsOf(inject("outside").container);
    expect(seen).toContain("GET http://allowed.example.test/hello");
    expect(seen).not.toContain("refused.example.test/");
  });

  it("HTTPS reaches the allow-listed host end to end, and under its own name only", async () => {
    const tunnel = (sni: string) =>
      node(
        "probe",
        `
      import http from "node:http"; import tls from "node:tls";
      const r = http.request({ host: "127.0.0.1", port: 3128, method: "CONNECT", path: "allowed.example.test:443" });
      r.on("connect", (answer, socket) => {
        if (answer.statusCode !== 200) { console.log("refused", answer.statusCode); process.exit(0); }
        const secure = tls.connect({ socket, servername: "${sni}", ca: ${JSON.stringify(inject("outside").certificate)} }, () => {
          secure.write("GET /tls HTTP/1.1\\r\\nhost: ${sni}\\r\\nconnection: close\\r\\n\\r\\n");
        });
        let text = "";
        secure.on("data", (part) => { text += part; });
        secure.on("end", () => { console.log(text.split("\\r\\n")[0]); process.exit(0); });
        secure.on("error", (e) => { console.log("tls", e.code); process.exit(0); });
      });
      r.on("error", (e) => { console.log("error", e.code); process.exit(0); });
      r.end();`,
      );
    expect((await tunnel("allowed.example.test")).output).toMatch(/^HTTP\/1\.1 200/);
    expect((await tunnel("refused.example.test")).output).toMatch(/^(tls|error|refused)/);
    const seen = await logsOf(inject("outside").container);
    expect(seen).toContain("GET https://allowed.example.test/tls");
    expect(seen).not.toContain("https://refused.example.test");
  });

  it("CONNECT is refused for what is not allow-listed: other hosts, other ports, addresses, the platform's own names", async () => {
    const targets = [
      "refused.example.test:443",
      "allowed.example.test:22",
      "127.0.0.1:8065",
      "169.254.169.254:80",
      "mattermost:8065",
      "docker-socket-proxy:2375",
      "[::1]:443",
      "localhost:8065",
    ];
    const { output } = await node(
      "probe",
      `
      import http from "node:http";
      for (const target of ${JSON.stringify(targets)}) {
        const status = await new Promise((done) => {
          const r = http.request({ host: "127.0.0.1", port: 3128, method: "CONNECT", path: target });
          r.on("connect", (a, s) => { s.destroy(); done(a.statusCode); });
          r.on("response", (a) => { a.resume(); done(a.statusCode); });
          r.on("error", (e) => done(e.code));
          r.end();
        });
        console.log(target, status);
      }
      process.exit(0);`,
    );
    const statuses = output
      .trim()
      .split("\n")
      .map((line) => line.split(" ").at(-1));
    expect(statuses).toHaveLength(targets.length);
    for (const status of statuses) expect(["403", "400"]).toContain(status);
  });

  it("A16, B18: another agent's workspace cannot be seen", async () => {
    await inside("lal", "echo lal-was-here > /workspace/secret-of-lal");
    const { output } = await inside(
      "probe",
      "cat /workspace/secret-of-lal; find / -xdev -name secret-of-lal 2>/dev/null; ls /workspace",
    );
    expect(output).not.toMatch(/lal-was-here/);
    expect(output).toMatch(/No such file/);
  });

  it("E5: a fork bomb stops at the pids limit and the container lives on", async () => {
    const { output } = await node(
      "probe",
      `
      import { spawn } from "node:child_process";
      let ok = 0, failed = 0; const children = [];
      for (let i = 0; i < 600 && failed < 3; i++) {
        await new Promise((done) => {
          const c = spawn("/bin/sleep", ["30"]);
          c.on("spawn", () => { ok++; children.push(c); done(); });
          c.on("error", () => { failed++; done(); });
        }).catch(() => failed++);
      }
      console.log("spawned", ok, "failed", failed);
      for (const c of children) c.kill("SIGKILL");
      process.exit(0);`,
    );
    const spawned = Number(/spawned (\d+)/.exec(output)?.[1] ?? Number.NaN);
    expect(spawned, output).toBeLessThan(512);
    expect(output).toMatch(/failed [1-9]\d*/);
    expect((await inspect(stack.container("probe"))).State.Running).toBe(true);
  });
});

describe("an agent on mattermost-net", () => {
  it("A6: Mattermost answers its ping from inside with 200", async () => {
    const { output } = await node(
      "scout",
      `const r = await fetch("http://mattermost:8065/api/v4/system/ping"); console.log(r.status);`,
    );
    expect(output.trim()).toBe("200");
  });

  it("A13, B17: the socket proxy can be neither resolved nor reached, and there is no Docker socket", async () => {
    const networks = (await inspect(stack.container("docker-socket-proxy"))).NetworkSettings
      .Networks;
    const address = Object.values(networks)[0]?.IPAddress;
    expect(address).toMatch(/^\d+\./);
    const { output } = await node(
      "scout",
      `
      import net from "node:net"; import dns from "node:dns/promises"; import fs from "node:fs";
      console.log("name", await dns.lookup("docker-socket-proxy").then(() => "RESOLVED", (e) => e.code));
      console.log("address", await new Promise((done) => {
        const s = net.connect({ host: "${address}", port: 2375, timeout: 2000 });
        s.on("connect", () => done("CONNECTED")); s.on("timeout", () => done("timeout")); s.on("error", (e) => done(e.code));
      }));
      console.log("socket", fs.existsSync("/var/run/docker.sock"));
      process.exit(0);`,
    );
    expect(output).not.toMatch(/RESOLVED|CONNECTED|socket true/);
    expect(output).toMatch(/name (ENOTFOUND|EAI_AGAIN)/);
  });

  it("it has no route out: an address outside its own network is unreachable", async () => {
    const { output } = await node(
      "scout",
      `
      import net from "node:net";
      console.log(await new Promise((done) => {
        const s = net.connect({ host: "${inject("outside").address}", port: 80, timeout: 3000 });
        s.on("connect", () => done("CONNECTED")); s.on("timeout", () => done("timeout")); s.on("error", (e) => done(e.code));
      }));
      process.exit(0);`,
    );
    expect(output).not.toMatch(/CONNECTED/);
    const routes = await inside("scout", "tail -n +2 /proc/net/route | awk '{print $2}'");
    expect(routes.output.trim()).not.toBe("");
    expect(routes.output).not.toMatch(/^00000000$/m);
  });

  it("A7, A8, A15: its config names one bot, its token is a file only it can read, its workspace is mounted", async () => {
    const { output } = await inside(
      "scout",
      "stat -c '%a %u:%g %n' /run/berth/bot-token /run/berth/secrets/CANARY; mount | grep -c ' /workspace '",
    );
    expect(output).toMatch(/^440 0:10100 \/run\/berth\/bot-token$/m);
    expect(output).toMatch(/^400 10100:10100 \/run\/berth\/secrets\/CANARY$/m);
    expect(output.trim().split("\n").at(-1)).toBe("1");
    const self = await node(
      "scout",
      `
      import http from "node:http"; import fs from "node:fs";
      const token = fs.readFileSync("/run/berth/bot-token", "utf8").trim();
      const me = await (await fetch("http://mattermost:8065/api/v4/users/me", { headers: { authorization: "Bearer " + token } })).json();
      http.get({ socketPath: "/run/berth/gateway.sock", path: "/berth/self", headers: { host: "berth" } }, (a) => {
        let t = ""; a.on("data", (p) => t += p); a.on("end", () => {
          const s = JSON.parse(t); console.log(JSON.stringify({ me: me.username, self: s.username, name: s.declaration.name, keys: Object.keys(s).sort() }));
          process.exit(0);
        });
      });`,
    );
    const seen = JSON.parse(self.output.trim()) as { me: string; self: string; name: string };
    expect([seen.me, seen.self, seen.name]).toEqual(["scout", "scout", "scout"]);
    const { Config } = await inspect(stack.container("scout"));
    expect(JSON.stringify(Config)).not.toContain(canary);
  });

  it("a secret's value is in its file, and in the environment of the program only", async () => {
    const { output } = await inside(
      "scout",
      `cat /run/berth/secrets/CANARY; echo
      for p in /proc/[0-9]*; do
        case "$(tr '\\0' ' ' < $p/cmdline 2>/dev/null)" in
          *agent-runner.mjs*) echo "runner $(tr '\\0' '\\n' < $p/environ | grep -c CANARY)";;
          *demo-agent*) echo "program $(tr '\\0' '\\n' < $p/environ | grep -c CANARY)";;
        esac
      done`,
    );
    const lines = output.trim().split("\n");
    expect(lines[0]?.trim()).toBe(canary);
    expect(lines).toContain("program 1");
    expect(lines.filter((line) => line.startsWith("runner"))).toEqual(
      lines.filter((line) => line === "runner 0"),
    );
  });
});

describe("a bridge that is not ours to trust", () => {
  it("A12: delete and exec through the proxy answer 403 in every spelling, and the container is unharmed", async () => {
    const id = (await inspect(stack.container("data"))).Id;
    const calls = [
      ["DELETE", `/containers/${id}`],
      ["DELETE", `/v1.41/containers/${id}?force=1`],
      ["DELETE", `/containers/${stack.container("data")}`],
      ["POST", `/containers/${id}/exec`],
      ["POST", `/v1.41/containers/${id}/exec`],
      ["POST", `/containers/${id}/kill`],
      ["PUT", `/containers/${id}/archive?path=/`],
      ["POST", "/containers/prune"],
      ["POST", "/images/create?fromSrc=-"],
      ["POST", `/containers/${id}/update`],
      ["POST", `/containers/${id}/attach`],
      ["POST", "/volumes/create"],
      ["POST", "/build"],
    ] as const;
    const { output } = await exec(stack.container("admin-bridge"), [
      "/usr/local/bin/node",
      "--input-type=module",
      "-e",
      `
      import http from "node:http";
      for (const [method, path] of ${JSON.stringify(calls)}) {
        console.log(await new Promise((done) => {
          const r = http.request({ host: "docker-socket-proxy", port: 2375, method, path, agent: false }, (a) => { a.resume(); done(a.statusCode); });
          r.on("error", (e) => done(e.code)); r.end();
        }));
      }`,
    ]);
    expect(output.trim().split("\n")).toEqual(calls.map(() => "403"));
    expect((await inspect(stack.container("data"))).State.Running).toBe(true);
    await until(
      "the denials in the audit",
      async () => {
        const log = await logsOf(stack.container("docker-socket-proxy"));
        return (log.match(/"decision":"den(y|ied)"/g)?.length ?? 0) >= calls.length;
      },
      10_000,
    );
  });

  it("A11: inspect, stop, start and wait work on a declared container and find no undeclared one", async () => {
    const stranger = `berth-${stack.name}-stranger`;
    const image = (await inspect(stack.container("data"))).Image;
    await engine(`/containers/create?name=${stranger}`, "POST", {
      Image: image,
      Entrypoint: ["/bin/sleep", "60"],
    });
    try {
      const call = (method: string, path: string) =>
        exec(stack.container("admin-bridge"), [
          "/usr/local/bin/node",
          "--input-type=module",
          "-e",
          `
        import http from "node:http";
        const r = http.request({ host: "docker-socket-proxy", port: 2375, method: "${method}", path: "${path}", agent: false }, (a) => { a.resume(); console.log(a.statusCode); process.exit(0); });
        r.end();`,
        ]);
      const declared = stack.container("lal");
      expect((await call("GET", `/containers/${declared}/json`)).output.trim()).toBe("200");
      for (const [method, path] of [
        ["GET", "json"],
        ["POST", "start"],
        ["POST", "stop"],
        ["POST", "wait"],
        ["GET", "logs?stdout=1"],
      ] as const) {
        expect((await call(method, `/containers/${stranger}/${path}`)).output.trim(), path).toBe(
          "404",
        );
      }
      expect((await inspect(stranger)).State.Running).toBe(false);
      expect(["204", "304"]).toContain(
        (await call("POST", `/containers/${declared}/stop`)).output.trim(),
      );
      expect((await inspect(declared)).State.Running).toBe(false);
      expect((await call("POST", `/containers/${declared}/wait`)).output.trim()).toBe("200");
      expect((await call("POST", `/containers/${declared}/start`)).output.trim()).toBe("204");
      expect((await inspect(declared)).State.Running).toBe(true);
    } finally {
      await engine(`/containers/${stranger}?force=1`, "DELETE");
    }
  });

  it("A10: the bridge's Docker address is the proxy, and it has no Docker socket among its mounts", async () => {
    const { Config, Mounts } = await inspect(stack.container("admin-bridge"));
    expect(Config.Env).toContain("DOCKER_HOST=tcp://docker-socket-proxy:2375");
    expect(
      Mounts.filter((m) => /docker\.sock/.test(m.Source) || /docker\.sock/.test(m.Destination)),
    ).toEqual([]);
  });

  it("the admin bridge's web port answers people on the host and refuses agents on the chat network", async () => {
    expect((await fetch(`${stack.adminUrl}/api/health`)).status).toBe(200);
    const { output } = await node(
      "scout",
      `const r = await fetch("http://admin-bridge:8066/api/status").catch((e) => ({ status: e.cause?.code ?? "failed" })); console.log(r.status);`,
    );
    expect(output.trim()).not.toBe("200");
  });

  it("Postgres: the mapped user connects by its socket, another user is refused", async () => {
    const run = (user: string) =>
      exec(
        stack.container("postgres"),
        ["/bin/sh", "-c", "psql -h /run/postgresql -U mattermost -d mattermost -Atc 'select 1'"],
        user,
      );
    expect((await run("2000")).output.trim()).toBe("1");
    expect((await run("1000")).exitCode).not.toBe(0);
  });
});
