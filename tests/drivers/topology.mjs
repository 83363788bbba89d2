// node-redis and ioredis against a cluster and a sentinel group: node topology.mjs MODULES cluster PORT | sentinel PORT
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [modules, kind, port] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const require = createRequire(`${modules}/`);
const node = require("redis");
const Redis = require("ioredis").default ?? require("ioredis");
const keys = [...Array(100).keys()].map((i) => `key${i}`);

async function nodeCluster() {
  const client = await node.createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${port}` }] }).connect();
  for (const key of keys) assert.equal(await client.set(key, key), "OK");
  assert.deepEqual(await Promise.all(keys.map((key) => client.get(key))), keys);
  assert.deepEqual(await client.multi().set("{t}a", "1").incr("{t}a").exec(), ["OK", 2]);
  let hear;
  const heard = new Promise((resolve) => (hear = resolve));
  await client.sSubscribe("news", hear);
  assert.equal(await client.sPublish("news", "hello"), 1);
  assert.equal(await heard, "hello");
  await client.close();
}

async function ioCluster() {
  const client = new Redis.Cluster([{ host: "127.0.0.1", port }]);
  for (const key of keys) assert.equal(await client.set(key, key), "OK");
  assert.deepEqual(await Promise.all(keys.map((key) => client.get(key))), keys);
  assert.equal(await client.eval("return redis.call('GET', KEYS[1])", 1, "key1"), "key1");
  client.disconnect();
}

async function nodeSentinel() {
  const client = await node
    .createSentinel({ name: "mymaster", sentinelRootNodes: [{ host: "127.0.0.1", port }] })
    .connect();
  assert.equal(await client.set("s", "2"), "OK");
  assert.equal(await client.get("s"), "2");
  await client.close();
}

async function ioSentinel() {
  const client = new Redis({ sentinels: [{ host: "127.0.0.1", port }], name: "mymaster" });
  assert.equal(await client.set("s", "3"), "OK");
  assert.equal(await client.get("s"), "3");
  client.disconnect();
}

if (kind === "cluster") {
  await nodeCluster();
  await ioCluster();
} else {
  await nodeSentinel();
  await ioSentinel();
}
console.log("ok");
process.exit(0);
