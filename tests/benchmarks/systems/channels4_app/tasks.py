"""The tasks that answer sockets by hand, through the channel layer."""

import json

from asgiref.sync import async_to_sync
from celery import shared_task
from channels.layers import get_channel_layer


def tell(channel_name, data):
    event = {"type": "deliver", "text": json.dumps({"kind": "result", "data": data})}
    async_to_sync(get_channel_layer().send)(channel_name, event)


@shared_task
def answer(channel_name, value):
    tell(channel_name, value)


@shared_task
def part(value, place):
    return value + place


@shared_task
def merge(values, channel_name):
    tell(channel_name, sum(values))
