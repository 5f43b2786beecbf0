// A bot on ethers that follows blocks and logs: node follow_ethers.js URL TOPIC
//
// As ethers's pages on providers and events say. They know no reconnection, so it does
// what its users do: a socket that ends is followed by a new provider, with the same
// listeners. It tells what it was given, a JSON object a line. A server of ours ends
// when its standard input does.
"use strict";

const { WebSocketProvider } = require("ethers");

const [url, topic] = process.argv.slice(2);

const tell = (event, fields) =>
  process.stdout.write(JSON.stringify({ event, ...fields }) + "\n");
const trouble = (error) => tell("trouble", { why: String(error).split("\n")[0] });

process.stdin.resume().on("end", () => process.exit(0));
process.on("uncaughtException", (error) => {
  tell("died", { why: String(error).split("\n")[0] });
  process.exit(1);
});
process.on("unhandledRejection", trouble);

function follow() {
  const provider = new WebSocketProvider(url);
  provider.websocket.onerror = trouble;
  provider.websocket.onclose = () => {
    trouble("the socket has closed");
    setTimeout(follow, 1_000);
  };
  provider.on("block", async (number) => {
    const block = await provider.getBlock(number);
    if (block) tell("block", { number, hash: block.hash });
  });
  provider.on({ topics: [topic] }, (log) =>
    tell("log", { hash: log.blockHash, index: log.index, removed: log.removed }),
  );
  provider.getBlockNumber().then(() => setTimeout(() => tell("ready", {}), 300));
}

follow();
