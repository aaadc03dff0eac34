"""Celery alone, with the tasks that every system here runs."""

import os

from celery import Celery

app = Celery("bare", broker=os.environ["BENCHMARK_REDIS_URL"], backend=os.environ["BENCHMARK_REDIS_URL"])


@app.task
def answer(value):
    return value


@app.task
def part(value, place):
    return value + place


@app.task
def merge(values):
    return sum(values)
