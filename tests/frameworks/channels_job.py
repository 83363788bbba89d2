"""channels_redis with both of its layers."""
import asyncio
import os

from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

PORT = int(os.environ["PORT"])


async def main():
    for kind in (RedisChannelLayer, RedisPubSubChannelLayer):
        layer = kind(hosts=[f"redis://127.0.0.1:{PORT}/9"])
        channel = await layer.new_channel()
        await layer.group_add("group", channel)
        await layer.group_send("group", {"type": "b", "n": 2})
        message = await asyncio.wait_for(layer.receive(channel), 5)
        assert message["n"] == 2
        await layer.group_discard("group", channel)
        await layer.flush()


asyncio.run(main())
print("ok")
