"""
The one Celery task that does the tasks of `django.tasks`, see `chancelery.tasks.django_backend`.

Apart from the backend, which needs Django 6.0: Celery's workers find it with the rest of this room, on every Django.
"""

from __future__ import annotations

from typing import Any

from chancelery.tasks.decorator import consumer_task
from chancelery.tasks.running import TaskMessage

CHANNEL = "django.tasks"
"""Of the message of such a job, whose content says which task it is."""


@consumer_task
def run(message: TaskMessage) -> Any:
    """Do the task that *message* names, and return what it returns."""
    from chancelery.tasks import django_backend  # noqa: PLC0415 - on Django 5.2 it cannot be imported

    return django_backend.perform(message)
