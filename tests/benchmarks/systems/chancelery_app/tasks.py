"""What runs in Celery."""

from celery import shared_task

from chancelery.tasks import consumer_task


@consumer_task
def answer(message, value):
    return value


@shared_task
def part(value, place):
    return value + place


@shared_task
def merge(values):
    return sum(values)
