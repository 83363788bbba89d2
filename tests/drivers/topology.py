"""redis-py and valkey-glide against a cluster and a sentinel group: python topology.py cluster PORT | sentinel PORT MASTER_PORT"""
import asyncio
import sys

import redis
import redis.asyncio


def check(got, wanted):
    assert got == wanted, f"{got!r} is not {wanted!r}"


def cluster(port):
    client = redis.RedisCluster(host="127.0.0.1", port=port)
    for i in range(200):
        client.set(f"key{i}", i)
    check([client.get(f"key{i}") for i in range(200)], [str(i).encode() for i in range(200)])
    check(client.mget_nonatomic("key1", "key2"), [b"1", b"2"])
    pipe = client.pipeline()
    for i in range(20):
        pipe.incr(f"key{i}")
    check(pipe.execute(), [i + 1 for i in range(20)])
    check(client.eval("return redis.call('GET', KEYS[1])", 1, "key7"), b"8")
    sharded = client.pubsub()
    sharded.ssubscribe("news")
    check(client.spublish("news", "hello"), 1)
    heard = []
    while "smessage" not in [message["type"] for message in heard]:
        message = sharded.get_sharded_message(timeout=5)
        assert message, f"only {heard!r} was heard"
        heard.append(message)
    check(heard[-1]["data"], b"hello")

    async def asynchronously():
        client = redis.asyncio.RedisCluster(host="127.0.0.1", port=port)
        check(await client.set("a", "1"), True)
        check(await client.get("a"), b"1")
        await client.aclose()

    asyncio.run(asynchronously())


def sentinel(port, master):
    from redis.sentinel import Sentinel

    group = Sentinel([("127.0.0.1", port)], socket_timeout=5)
    check(group.discover_master("mymaster"), ("127.0.0.1", master))
    client = group.master_for("mymaster", socket_timeout=5)
    check(client.set("s", "1"), True)
    check(client.wait(1, 5000), 1)
    check(group.slave_for("mymaster", socket_timeout=5).get("s"), b"1")


async def glide(port):
    from glide import GlideClusterClient, GlideClusterClientConfiguration, NodeAddress

    client = await GlideClusterClient.create(GlideClusterClientConfiguration([NodeAddress("127.0.0.1", port)]))
    check(await client.set("glide", "1"), "OK")
    check(await client.get("glide"), b"1")
    check(await client.mset({"x": "1", "y": "2"}), "OK")
    check(await client.mget(["x", "y"]), [b"1", b"2"])
    await client.close()


ports = [int(argument) for argument in sys.argv[2:]]
if sys.argv[1] == "cluster":
    cluster(*ports)
    asyncio.run(glide(*ports))
else:
    sentinel(*ports)
print("ok")
