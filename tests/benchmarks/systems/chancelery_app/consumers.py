"""Plain synchronous consumers, run by the worker."""

import time

from celery import chord

from chancelery import Group
from chancelery.tasks import escalate
from chancelery_app.tasks import REPLY, answer, merge, part

EVERYBODY = "everybody"


def accept(message):
    """Returning accepts."""


def echo(message):
    message.reply_channel.send({"text": message["text"]})


def wait(message):
    time.sleep(0.005)
    echo(message)


def dawdle(message):
    time.sleep(1)
    echo(message)


def join(message):
    Group(EVERYBODY).add(message.reply_channel)


def broadcast(message):
    Group(EVERYBODY).send({"text": message["text"]})


def ask(message):
    answer.escalate(message, int(message["text"]))


def ask_chord(message):
    value = int(message["text"])
    escalate(message, chord([part.s(value, place) for place in range(10)], merge.s()), reply=REPLY)
