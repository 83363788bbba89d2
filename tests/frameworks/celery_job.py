"""Celery: results, a chord, a retry, a countdown, and the control channel of a worker."""
import subprocess
import sys

from celery import chord, group
from celery_tasks import add, app, second_time, total

worker = subprocess.Popen(
    [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "-c", "2", "-P", "threads", "-l", "ERROR"],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
)
try:
    results = [add.delay(i, i) for i in range(50)]
    assert [result.get(timeout=30) for result in results] == [2 * i for i in range(50)]
    assert chord([add.s(i, 1) for i in range(10)])(total.s()).get(timeout=30) == 55
    assert second_time.delay().get(timeout=30) == "again"
    assert group(add.s(1, 1) for _ in range(5))().get(timeout=30) == [2] * 5
    assert add.apply_async((1, 2), countdown=1).get(timeout=20) == 3
    assert app.control.inspect(timeout=3).ping()
finally:
    worker.terminate()
    worker.wait(20)
print("ok")
