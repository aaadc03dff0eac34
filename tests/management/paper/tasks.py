"""What Celery does."""

import time
from pathlib import Path

from celery import shared_task

WORD = "first"


@shared_task
def shout(text):
    return f"{WORD} {text.upper()}"


@shared_task
def slow(folder):
    """Note each time that it begins, and end when there is a file `go`."""
    with (Path(folder) / "begun").open("a") as begun:
        begun.write(f"{WORD}\n")
    while not (Path(folder) / "go").exists():
        time.sleep(0.02)
    return f"{WORD} is done"
