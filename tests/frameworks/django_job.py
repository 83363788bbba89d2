"""Django's own cache backend and django-redis."""
import os

import django
from django.conf import settings

PORT = os.environ["PORT"]
BACKENDS = {"default": "django_redis.cache.RedisCache", "own": "django.core.cache.backends.redis.RedisCache"}
settings.configure(
    CACHES={
        name: {"BACKEND": backend, "LOCATION": f"redis://127.0.0.1:{PORT}/{7 + i}"}
        for i, (name, backend) in enumerate(BACKENDS.items())
    }
)
django.setup()
from django.core.cache import caches

for name in BACKENDS:
    cache = caches[name]
    cache.clear()
    cache.set("a", {"x": 1}, 10)
    assert cache.get("a") == {"x": 1}
    cache.set_many({"b": 1, "c": 2})
    assert cache.get_many(["b", "c"]) == {"b": 1, "c": 2}
    assert cache.add("a", 1) is False
    assert cache.incr("b") == 2
    assert cache.touch("a", 20)
    cache.delete_many(["b", "c"])
    assert cache.get("b") is None
    assert cache.get_or_set("n", lambda: 5) == 5
cache = caches["default"]
cache.set("foo1", 1)
cache.set("foo2", 2)
assert sorted(cache.keys("foo*")) == ["foo1", "foo2"]
assert cache.ttl("foo1")
assert cache.delete_pattern("foo*") == 2
with cache.lock("lock", timeout=3):
    pass
print("ok")
