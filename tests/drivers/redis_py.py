"""redis-py and valkey-py with their default settings: python redis_py.py PORT [redis|valkey]"""
import asyncio
import importlib
import sys

port = int(sys.argv[1])
driver = importlib.import_module(sys.argv[2] if len(sys.argv) > 2 else "redis")


def check(got, wanted):
    assert got == wanted, f"{got!r} is not {wanted!r}"


client = driver.Redis(port=port)
client.flushall()
check(client.set("s", "1"), True)
check(client.get("s"), b"1")
check(client.incrby("s", 41), 42)
check(client.hset("h", mapping={"a": 1, "b": 2}), 2)
check(client.hgetall("h"), {b"a": b"1", b"b": b"2"})
check(client.zadd("z", {"x": 1.5, "y": 2}), 2)
check([tuple(pair) for pair in client.zrange("z", 0, -1, withscores=True)], [(b"x", 1.5), (b"y", 2.0)])
check(client.sadd("set", "m"), 1)
check(set(client.smembers("set")), {b"m"})
check(client.lpush("l", "a", "b"), 2)
check(client.lmove("l", "l2", "LEFT", "RIGHT"), b"b")
check(tuple(client.blpop("l", timeout=1)), (b"l", b"a"))
check(client.blpop("l", timeout=0.05), None)
pipe = client.pipeline()
pipe.set("t", 1)
pipe.incr("t")
check(pipe.execute(), [True, 2])
with client.pipeline() as watched:
    watched.watch("t")
    watched.multi()
    watched.get("t")
    check(watched.execute(), [b"2"])
check(client.eval("return {KEYS[1], ARGV[1]}", 1, "k", "v"), [b"k", b"v"])
check(client.register_script("return 7")(), 7)
pubsub = client.pubsub()
pubsub.subscribe("news")
check(pubsub.get_message(timeout=2)["type"], "subscribe")
check(client.publish("news", "hello"), 1)
check(pubsub.get_message(timeout=2)["data"], b"hello")
pubsub.close()
entry = client.xadd("stream", {"f": "v"})
check(client.xlen("stream"), 1)
check(client.xrange("stream")[0][0], entry)
check(client.xgroup_create("stream", "g", id="0"), True)
assert client.xreadgroup("g", "c", {"stream": ">"}), "nothing to be read"
check(client.xack("stream", "g", entry), 1)
check(client.info("server")["redis_version"], "7.2.4")
assert client.client_list()[0]["lib-name"], "the driver's name is not known"
check(client.config_get("maxmemory-policy"), {"maxmemory-policy": "noeviction"})


async def asynchronously():
    module = importlib.import_module(driver.__name__ + ".asyncio")
    client = module.Redis(port=port)
    check(await client.set("a", "1"), True)
    check(await client.mget("a", "none"), [b"1", None])
    async with client.pipeline(transaction=True) as pipe:
        check(await pipe.incr("a").incr("a").execute(), [2, 3])
    await client.aclose()


asyncio.run(asynchronously())

if driver.__name__ == "redis":
    from redis.cache import CacheConfig

    cached = driver.Redis(port=port, protocol=3, cache_config=CacheConfig())
    client.set("c", "1")
    check(cached.get("c"), b"1")
    client.set("c", "2")
    check(cached.get("c"), b"2")
print("ok")
