"""Celery alone, with the tasks that every system here runs; an answer is pushed on the list that was asked for."""

import os

import redis
from celery import Celery

URL = os.environ["BENCHMARK_REDIS_URL"]
app = Celery("bare", broker=URL, backend=URL)
client = redis.Redis.from_url(URL)


@app.task
def answer(number, answers):
    client.rpush(answers, number)
    return number


@app.task
def part(number, place):
    return number + place


@app.task
def merge(numbers, number, answers):
    client.rpush(answers, number)
    return sum(numbers)
