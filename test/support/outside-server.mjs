// Runs inside the outside world's container (see outside.ts). Arguments: its names. Answers HTTP and HTTPS with what it
// was asked, sends back on the echo port what it gets, and logs one line a request.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import net from "node:net";

const names = process.argv.slice(1).filter((name) => name !== "--");
const alternatives = names.map((name) => `DNS:${name}`).join(",");
execFileSync(
  "openssl",
  `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=outside -keyout /tmp/key.pem -out /tmp/certificate.pem -addext subjectAltName=${alternatives}`.split(
    " ",
  ),
  { stdio: "ignore" },
);
const key = readFileSync("/tmp/key.pem", "utf8");
const certificate = readFileSync("/tmp/certificate.pem", "utf8");

const answer = (scheme) => (request, response) => {
  const { method, url, headers } = request;
  console.log(`${method} ${scheme}://${headers.host}${url}`);
  let body = "";
  request.setEncoding("utf8").on("data", (part) => {
    body += part;
  });
  request.on("end", () => {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ method, scheme, path: url, headers, body }));
  });
};
const listen = (server, port) => new Promise((done) => server.listen(port, "0.0.0.0", done));
await listen(http.createServer(answer("http")), 80);
await listen(https.createServer({ key, cert: certificate }, answer("https")), 443);
const echo = net.createServer((socket) => {
  console.log("TCP echo");
  socket.on("error", () => socket.destroy());
  socket.pipe(socket);
});
await listen(echo, 7);
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
console.log(JSON.stringify({ certificate }));
