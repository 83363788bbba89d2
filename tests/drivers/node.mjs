// node-redis and ioredis with their default settings: node node.mjs PORT, with both installed beside it.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [port, modules] = [Number(process.argv[2]), process.argv[3]];
const require = createRequire(`${modules}/`);

async function nodeRedis() {
  const { createClient } = require("redis");
  const client = await createClient({ url: `redis://127.0.0.1:${port}` }).connect();
  await client.flushAll();
  assert.equal(await client.set("s", "1"), "OK");
  assert.equal(await client.get("s"), "1");
  assert.equal(await client.hSet("h", { a: "1", b: "2" }), 2);
  assert.deepEqual({ ...(await client.hGetAll("h")) }, { a: "1", b: "2" });
  assert.deepEqual(await client.multi().incr("s").incr("s").exec(), [2, 3]);
  await client.zAdd("z", { score: 1.5, value: "x" });
  assert.deepEqual({ ...(await client.zRangeWithScores("z", 0, -1))[0] }, { value: "x", score: 1.5 });
  assert.equal(await client.eval("return ARGV[1]", { arguments: ["v"] }), "v");
  await client.rPush("l", "a");
  assert.equal((await client.blPop("l", 1)).element, "a");
  const listener = await client.duplicate().connect();
  const heard = new Promise((resolve) => listener.subscribe("news", resolve).then(() => client.publish("news", "hello")));
  assert.equal(await heard, "hello");
  const id = await client.xAdd("stream", "*", { f: "v" });
  assert.equal((await client.xRange("stream", "-", "+"))[0].id, id);
  await listener.close();
  await client.close();
}

async function ioredis() {
  const Redis = require("ioredis");
  const client = new (Redis.default ?? Redis)(port, "127.0.0.1");
  assert.equal(await client.set("s", "1"), "OK");
  assert.deepEqual(await client.mget("s", "none"), ["1", null]);
  assert.deepEqual(await client.pipeline().incr("s").incr("s").exec(), [[null, 2], [null, 3]]);
  await client.hset("h2", "a", 1);
  assert.deepEqual({ ...(await client.hgetall("h2")) }, { a: "1" });
  assert.deepEqual(await client.blpop("none", 0.05), null);
  client.defineCommand("answer", { numberOfKeys: 0, lua: "return 42" });
  assert.equal(await client.answer(), 42);
  client.disconnect();
}

await nodeRedis();
await ioredis();
console.log("ok");
