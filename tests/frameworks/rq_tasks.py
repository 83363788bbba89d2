"""The tasks of rq_job.py; its worker imports them by this name."""


def product(a, b):
    return a * b


def fails():
    raise ValueError("on purpose")
