"""Sockets."""

import os
import threading
import time

from paper.tasks import shout, slow

from chancelery import Channel
from chancelery.tasks import escalate

WORD = "first"


def echo(message):
    message.reply_channel.send({"text": f"{WORD} {message['text']}"})


def work(message):
    escalate(message, shout.s(message["text"]))


def work_slowly(message):
    escalate(message, slow.s(message["text"]))


def hold(message):
    """Say that it began, and end when there is a file of this name."""
    message.reply_channel.send({"text": "began"}, immediately=True)
    while not os.path.exists(message["text"]):  # noqa: PTH110
        time.sleep(0.02)
    message.reply_channel.send({"text": "ended"})


def count_threads(message):
    names = [each.name for each in threading.enumerate() if each.name.startswith("worker thread")]
    message.reply_channel.send({"text": str(len(names))})


def answer_later(message):
    content = {"text": f"{WORD} {message['text']}"}
    Channel("asgi.delay").send({"channel": message.reply_channel.name, "delay": 10, "content": content})
