// Node.js frameworks with their default settings: node node.mjs MODULES PORT
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [modules, port] = [process.argv[2], Number(process.argv[3])];
const require = createRequire(`${modules}/`);
const { createClient } = require("redis");
const Redis = require("ioredis").default ?? require("ioredis");

async function bullmq() {
  const { FlowProducer, Queue, QueueEvents, Worker } = require("bullmq");
  const connection = { host: "127.0.0.1", port, db: 10, maxRetriesPerRequest: null };
  const queue = new Queue("queue", { connection });
  const events = new QueueEvents("queue", { connection });
  await events.waitUntilReady();
  let tries = 0;
  const work = async (job) => {
    if (job.name === "fails once" && tries++ < 1) throw new Error("on purpose");
    if (job.name === "progress") await job.updateProgress(50);
    return job.data.n * 2;
  };
  const worker = new Worker("queue", work, { connection, concurrency: 4 });
  const result = (job) => job.waitUntilFinished(events, 20000);
  const jobs = await queue.addBulk([...Array(9).keys()].map((n) => ({ name: "plain", data: { n } })));
  assert.deepEqual(await Promise.all(jobs.map(result)), jobs.map((job) => job.data.n * 2));
  assert.equal(await result(await queue.add("delayed", { n: 1 }, { delay: 300 })), 2);
  const retry = { attempts: 3, backoff: { type: "fixed", delay: 50 } };
  assert.equal(await result(await queue.add("fails once", { n: 4 }, retry)), 8);
  assert.equal(await result(await queue.add("progress", { n: 5 }, { priority: 3 })), 10);
  const flow = new FlowProducer({ connection });
  const child = { name: "child", queueName: "queue", data: { n: 2 } };
  const { job } = await flow.add({ name: "parent", queueName: "queue", data: { n: 1 }, children: [child] });
  assert.equal(await result(job), 2);
  assert.ok((await queue.getJobCounts()).completed >= 12);
  await worker.close();
  await queue.obliterate({ force: true });
  await Promise.all([events.close(), queue.close(), flow.close()]);
}

async function beeQueue() {
  const Queue = require("bee-queue");
  const queue = new Queue("bee", { redis: { host: "127.0.0.1", port, db: 11 } });
  queue.process(async (job) => job.data.x + 1);
  const job = queue.createJob({ x: 1 });
  const done = new Promise((resolve) => job.on("succeeded", resolve));
  await job.save();
  assert.equal(await done, 2);
  await queue.close();
}

async function sessions() {
  const { RedisStore } = require("connect-redis");
  const client = await createClient({ url: `redis://127.0.0.1:${port}/12` }).connect();
  const store = new RedisStore({ client });
  const call = (method, ...args) =>
    new Promise((resolve, reject) => store[method](...args, (error, value) => (error ? reject(error) : resolve(value))));
  await call("set", "id", { cookie: {}, a: 1 });
  assert.equal((await call("get", "id")).a, 1);
  await call("touch", "id", { cookie: {} });
  assert.equal(await call("length"), 1);
  assert.deepEqual(await call("ids"), ["id"]);
  await call("clear");
  await client.close();
}

async function rateLimiter() {
  const { RateLimiterRedis } = require("rate-limiter-flexible");
  const node = await createClient({ url: `redis://127.0.0.1:${port}` }).connect();
  const io = new Redis(port);
  for (const [storeClient, keyPrefix, options] of [[node, "n", { useRedisPackage: true }], [io, "i", {}]]) {
    const limiter = new RateLimiterRedis({ storeClient, points: 2, duration: 60, keyPrefix, ...options });
    await limiter.consume("k");
    await limiter.consume("k");
    await assert.rejects(limiter.consume("k"), (refusal) => refusal.remainingPoints === 0);
    await limiter.delete("k");
  }
  await node.close();
  io.disconnect();
}

async function socketIo() {
  const { Server } = require("socket.io");
  const { io } = require("socket.io-client");
  const { createAdapter, createShardedAdapter } = require("@socket.io/redis-adapter");
  const streams = require("@socket.io/redis-streams-adapter");
  const client = () => createClient({ url: `redis://127.0.0.1:${port}` }).connect();
  const adapters = {
    pubsub: async () => createAdapter(await client(), await client()),
    sharded: async () => createShardedAdapter(await client(), await client()),
    streams: async () => streams.createAdapter(await client()),
  };
  for (const [kind, adapter] of Object.entries(adapters)) {
    const servers = [];
    const clients = [];
    for (let i = 0; i < 2; i++) {
      const server = new Server({ adapter: await adapter() });
      server.listen(0);
      server.on("connection", (socket) => socket.join("room"));
      servers.push(server);
      const socket = io(`http://127.0.0.1:${server.httpServer.address().port}`, { transports: ["websocket"] });
      await new Promise((resolve) => socket.on("connect", resolve));
      clients.push(socket);
    }
    // Servers find each other by heartbeats: ask until both are known.
    for (let sockets = []; sockets.length < 2; ) sockets = await servers[0].fetchSockets();
    const heard = new Promise((resolve) => clients[1].on("hi", resolve));
    servers[0].to("room").emit("hi", 5);
    assert.equal(await heard, 5, kind);
    clients.forEach((socket) => socket.close());
    servers.forEach((server) => server.close());
  }
}

for (const job of [bullmq, beeQueue, sessions, rateLimiter, socketIo]) {
  console.log(job.name);
  await job();
}
console.log("ok");
process.exit(0);
