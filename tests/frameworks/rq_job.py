"""RQ: jobs, a failing one, one that depends on another, and results in streams."""
import os

from redis import Redis
from rq import Queue, SimpleWorker
from rq_tasks import fails, product

connection = Redis(port=int(os.environ["PORT"]), db=3)
queue = Queue(connection=connection)
jobs = [queue.enqueue(product, i, 2) for i in range(20)]
failing = queue.enqueue(fails)
dependent = queue.enqueue(product, 3, 3, depends_on=jobs[0])
SimpleWorker([queue], connection=connection).work(burst=True, logging_level="ERROR")
assert [job.return_value() for job in jobs] == [2 * i for i in range(20)]
assert dependent.return_value() == 9
assert failing.is_failed
assert jobs[1].latest_result().return_value == 2
print("ok")
