// A GraphQL server on the npm packages graphql-ws and ws: `node serve_graphql.js PORT`.
// A tick is a number of 10 ms since 1970, so that ticks go on across its lives, and any
// of them can be had again.
"use strict";

const { buildSchema } = require("graphql");
const { useServer } = require("graphql-ws/use/ws");
const { WebSocketServer } = require("ws");

const TICK = 10;
let executed = 0;

function log(event, fields) {
  process.stdout.write(JSON.stringify({ event, ...fields }) + "\n");
}

function now() {
  return Math.floor(Date.now() / TICK);
}

function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

const schema = buildSchema(`
  type Query { echo(text: String!): String!  broken: Int  history(after: Float!, until: Float): [Float!]! }
  type Mutation { add(wait: Int): Int! }
  type Subscription { ticks: Float!  few(count: Int!): Int!  idle: Int }
`);

const roots = {
  query: {
    echo: ({ text }) => text,
    broken: () => {
      throw new Error("it is broken");
    },
    history: ({ after, until }) => {
      const last = until ?? now();
      return Array.from({ length: Math.max(0, last - after) }, (_, i) => after + 1 + i);
    },
  },
  mutation: {
    add: async ({ wait }) => {
      executed += 1;
      const result = executed;
      log("add", { result });
      await sleep(wait ?? 0);
      return result;
    },
  },
  subscription: {
    ticks: async function* () {
      for (let tick = now(); ; tick += 1) {
        while (now() < tick) await sleep(TICK / 2);
        yield { ticks: tick };
      }
    },
    few: async function* ({ count }) {
      for (let few = 1; few <= count; few += 1) yield { few };
    },
    idle: async function* () {
      await new Promise(() => {});
    },
  },
};

const sockets = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]) });
let connections = 0;
useServer(
  {
    schema,
    roots,
    onConnect: (context) => {
      context.extra.connection = connections += 1;
      log("connect", { connection: connections, payload: context.connectionParams });
      return context.connectionParams?.token !== "wrong";
    },
    onSubscribe: (context, id) => log("subscribe", { connection: context.extra.connection, id }),
    onComplete: (context, id) => log("complete", { connection: context.extra.connection, id }),
    onClose: (context, code, reason) => log("close", { code, reason }),
  },
  sockets,
);
// The test run that started us is gone.
process.stdin.on("end", () => process.exit(0)).resume();
