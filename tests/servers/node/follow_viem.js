// A bot on viem that follows blocks and logs: node follow_viem.js URL TOPIC [poll]
//
// As viem's pages on the WebSocket transport, watchBlocks and watchEvent say, with what
// they offer against drops: keepAlive, reconnect and, where it polls, emitMissed. It
// tells what it was given, a JSON object a line. A server of ours ends when its
// standard input does.
"use strict";

const { createPublicClient, webSocket } = require("viem");

const [url, topic, mode] = process.argv.slice(2);
const poll = mode === "poll";

const tell = (event, fields) =>
  process.stdout.write(JSON.stringify({ event, ...fields }) + "\n");
const onError = (error) => tell("trouble", { why: String(error).split("\n")[0] });

process.stdin.resume().on("end", () => process.exit(0));
process.on("uncaughtException", (error) => {
  tell("died", { why: String(error).split("\n")[0] });
  process.exit(1);
});

const client = createPublicClient({
  transport: webSocket(url, {
    keepAlive: { interval: 1_000 },
    reconnect: { attempts: 5, delay: 2_000 },
  }),
  pollingInterval: 100,
});

client.watchBlocks({
  poll,
  emitMissed: true,
  onBlock: (block) => {
    if (block) tell("block", { number: Number(block.number), hash: block.hash });
  },
  onError,
});

client.watchEvent({
  poll,
  onLogs: (logs) => {
    for (const log of logs)
      if (log.topics[0] === topic)
        tell("log", {
          hash: log.blockHash,
          index: Number(log.logIndex),
          removed: Boolean(log.removed),
        });
  },
  onError,
});

client.getBlockNumber().then(() => setTimeout(() => tell("ready", {}), 300));
