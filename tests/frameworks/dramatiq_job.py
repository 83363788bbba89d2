"""Dramatiq: results, a delayed message and a rate limiter."""
import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.rate_limits import ConcurrentRateLimiter
from dramatiq.rate_limits.backends import RedisBackend as Limits
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

place = {"host": "127.0.0.1", "port": int(os.environ["PORT"]), "db": 4}
broker = RedisBroker(**place)
broker.add_middleware(Results(backend=RedisBackend(**place)))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def add(a, b):
    return a + b


worker = dramatiq.Worker(broker, worker_threads=2)
worker.start()
messages = [add.send(i, 1) for i in range(30)]
assert [m.get_result(block=True, timeout=20000) for m in messages] == [i + 1 for i in range(30)]
assert add.send_with_options(args=(1, 1), delay=500).get_result(block=True, timeout=10000) == 2
with ConcurrentRateLimiter(Limits(**place), "limit", limit=1).acquire():
    pass
worker.stop()
print("ok")
