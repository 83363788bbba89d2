"""Huey with its three kinds of Redis storage."""
import os

from huey import PriorityRedisHuey, RedisExpireHuey, RedisHuey

for kind in (RedisHuey, PriorityRedisHuey, RedisExpireHuey):
    huey = kind(kind.__name__, host="127.0.0.1", port=int(os.environ["PORT"]), db=6)

    @huey.task()
    def add(a, b):
        return a + b

    consumer = huey.create_consumer(workers=2, periodic=True)
    consumer.start()
    results = [add(i, i) for i in range(20)]
    assert [result.get(blocking=True, timeout=10) for result in results] == [2 * i for i in range(20)]
    assert add.schedule((1, 2), delay=1).get(blocking=True, timeout=10) == 3
    with huey.lock_task("lock"):
        pass
    consumer.stop(graceful=True)
print("ok")
