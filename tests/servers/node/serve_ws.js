// The test server on the npm package ws: `node serve_ws.js PORT [*]`.
// What it does at which path is told in ../behaviour.py.
"use strict";

const http = require("node:http");
const { WebSocketServer } = require("ws");

const SHOWN = 1024;
const HEADERS = new Set([
  "authorization",
  "cookie",
  "host",
  "origin",
  "user-agent",
  "sec-websocket-extensions",
  "sec-websocket-protocol",
]);

let sequence = 0;
let counter = 1;
let connections = 0;
const asked = new Map();

function log(event, fields) {
  sequence += 1;
  // CLOCK_MONOTONIC, as Python's time.monotonic() reads it.
  const at = Number(process.hrtime.bigint()) / 1e9;
  process.stdout.write(JSON.stringify({ seq: sequence, at, event, ...fields }) + "\n");
}

function shownHeaders(request) {
  return Object.fromEntries(
    Object.entries(request.headers).filter(
      ([name]) => HEADERS.has(name) || name.startsWith("x-"),
    ),
  );
}

function isDue(target, query) {
  asked.set(target, (asked.get(target) ?? 0) + 1);
  return asked.get(target) <= Number(query.get("times") ?? Infinity);
}

function sleep(seconds) {
  // A turn of the loop even for 0: what the client says is read in between.
  return new Promise((resolve) => {
    if (seconds > 0) setTimeout(resolve, seconds * 1000);
    else setImmediate(resolve);
  });
}

function end(ws, how, reason) {
  if (how === "rst") ws._socket.resetAndDestroy();
  else if (how === "fin") ws._socket.destroy();
  else ws.close(Number(how), reason);
}

async function feed(ws, next, query) {
  const every = Number(query.get("every") ?? 0);
  const size = Number(query.get("size") ?? 0);
  const count = Number(query.get("n") ?? 10);
  for (let i = 0; i < count && ws.readyState === ws.OPEN; i += 1) {
    // Once the kernel has taken it: a client that does not read holds the feed up.
    await new Promise((taken) => ws.send(String(next()).padEnd(size), taken));
    await sleep(every);
  }
  if (query.has("then")) end(ws, query.get("then"), "");
}

// Whether the text was a command.
function obey(ws, text) {
  const [command, first, ...rest] = text.split(" ");
  switch (command) {
    case "close":
      ws.close(Number(first), rest.join(" "));
      return true;
    case "reset":
      ws._socket.resetAndDestroy();
      return true;
    case "drop":
      ws._socket.destroy();
      return true;
    case "half-close":
      ws.isHalfClosed = true;
      ws._socket.end();
      return true;
    case "mute":
      ws._socket.pause();
      return true;
    case "burst":
      for (let number = 1; number <= Number(first); number += 1) {
        ws.send(String(number).padEnd(Number(rest[0])));
      }
      return true;
    case "sleep":
      // How an application of ws takes no message: it has no other way.
      ws.pause();
      setTimeout(() => ws.resume(), Number(first) * 1000);
      return true;
    case "block":
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(first) * 1000);
      return true;
    case "ping":
      ws.ping([first, ...rest].filter((part) => part !== undefined).join(" "));
      return true;
    default:
      return false;
  }
}

const sockets = new WebSocketServer({
  noServer: true,
  maxPayload: 64 * 1024 * 1024,
  perMessageDeflate: true,
});
const server = http.createServer((_request, response) => {
  response.writeHead(426).end();
});

server.on("upgrade", (request, socket, head) => {
  const target = request.url;
  log("request", { path: target });
  const url = new URL(target, "http://localhost");
  const query = url.searchParams;
  const headers = shownHeaders(request);
  // A client may reset while it is refused.
  socket.on("error", () => {});
  const isAuthorized =
    query.has("unless") && request.headers.authorization === query.get("unless");
  if (url.pathname === "/refuse" && !isAuthorized && isDue(target, query)) {
    const status = Number(query.get("status") ?? 503);
    const lines = [`HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? "Refused"}`];
    if (query.has("retry_after")) lines.push(`Retry-After: ${query.get("retry_after")}`);
    if (query.has("location")) lines.push(`Location: ${query.get("location")}`);
    lines.push("Connection: close", "Content-Length: 8", "", "refused\n");
    log("refuse", { path: target, headers, status });
    socket.end(lines.join("\r\n"));
    return;
  }
  sockets.handleUpgrade(request, socket, head, (ws) => {
    connections += 1;
    const connection = connections;
    log("open", { connection, path: target, headers });
    ws.on("error", () => {});
    ws.on("close", (code, reason) => {
      log("close", { connection, code, reason: reason.toString() });
    });
    ws.on("ping", () => log("ping", { connection }));
    ws.on("pong", () => log("pong", { connection }));
    if (query.has("ping")) {
      const timer = setInterval(() => ws.ping(), Number(query.get("ping")) * 1000);
      ws.on("close", () => clearInterval(timer));
    }
    ws.on("message", (data, isBinary) => {
      const shown = {};
      if (data.length <= SHOWN) {
        if (isBinary) shown.hex = data.toString("hex");
        else shown.text = data.toString();
      }
      log("message", { connection, size: data.length, ...shown });
      if (ws.isHalfClosed || url.pathname === "/sink") return;
      if (!isBinary && url.pathname === "/control" && obey(ws, data.toString())) return;
      ws.send(data, { binary: isBinary });
    });
    if (url.pathname === "/feed") {
      let number = Number(query.get("from") ?? 1) - 1;
      feed(ws, () => (number += 1), query);
    } else if (url.pathname === "/count") {
      feed(ws, () => counter++, query);
    } else if (url.pathname === "/accept-close" && isDue(target, query)) {
      end(ws, query.get("code") ?? "1000", query.get("reason") ?? "");
    }
  });
});

function goodbye() {
  // Else the open standard input keeps us.
  process.stdin.unref();
  for (const ws of sockets.clients) ws.close(1001, "Server Shutdown");
  server.close();
  setTimeout(() => process.exit(0), 1000).unref();
}

process.on("SIGTERM", goodbye);
// The test run that started us is gone.
process.stdin.on("end", () => process.exit(0)).resume();
const host = process.argv[3] === "*" ? "::" : "127.0.0.1";
server.listen(Number(process.argv[2]), host, () => log("ready"));
