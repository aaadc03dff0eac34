"""What runs in Celery. With BENCHMARK_REPLY=message, its answer is all that a socket is told, as with the others."""

import json
import os

from celery import shared_task

from chancelery.tasks import consumer_task

REPLY = os.environ.get("BENCHMARK_REPLY", "events")


@consumer_task(reply=REPLY)
def answer(message, value):
    return outcome(value)


@shared_task
def part(value, place):
    return value + place


@shared_task
def merge(values):
    return outcome(sum(values))


def outcome(value):
    return value if REPLY == "events" else {"text": json.dumps({"kind": "result", "data": value})}
