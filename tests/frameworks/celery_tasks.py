"""The tasks of celery_job.py; the worker process imports them by this name."""
import os

from celery import Celery

PORT = os.environ["PORT"]
app = Celery("celery_tasks", broker=f"redis://127.0.0.1:{PORT}/1", backend=f"redis://127.0.0.1:{PORT}/2")


@app.task
def add(a, b):
    return a + b


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True, max_retries=2)
def second_time(self):
    if self.request.retries < 1:
        raise self.retry(countdown=0.2)
    return "again"
