"""A small site with jobs, for the tests of the test kit."""

from __future__ import annotations

from celery import chain, chord, shared_task
from django.db import transaction

from chancelery import Channel, route
from chancelery.tasks import Retry, consumer_task, current_job, escalate

paid = []


class PaperJamError(Exception):
    pass


@consumer_task
def render(message, pages):
    for page in range(pages):
        message.job.progress(page + 1, total=pages)
    return {"pages": pages}


@consumer_task(retry=Retry(on=PaperJamError, max=2, backoff=60, jitter=False))
def press(message, jams):
    if message.job.attempt <= jams:
        raise PaperJamError
    return message.job.attempt


@shared_task
def pay():
    with current_job().once("pay") as first:
        if first:
            paid.append(current_job().id)
    return len(paid)


@shared_task
def number(value):
    return value


@shared_task
def total(values):
    return sum(values)


@shared_task
def fails():
    raise PaperJamError("the text is for nobody")


@shared_task(bind=True, max_retries=None)
def tries_for_ever(self):
    raise self.retry(countdown=0)


def ask(message):
    render.escalate(message, pages=int(message["text"]))


def ask_later(message):
    render.escalate(message, pages=1, countdown=3600, expires=7200)


def ask_in_a_transaction(message):
    with transaction.atomic():
        escalate(message, number.s(7), reply_to=Channel("press.done"))


def done(message):
    Channel("press.heard").send({"kind": message["kind"], "data": message["data"]})


def canvas():
    return chain(chord([number.s(1), number.s(2)], total.s()), number.s())


routing = [
    route("websocket.receive", ask, path=r"^/render/$"),
    route("websocket.receive", ask_later, path=r"^/later/$"),
    route("websocket.receive", ask_in_a_transaction, path=r"^/atomic/$"),
    route("press.done", done),
]
