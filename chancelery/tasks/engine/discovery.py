"""
What a Celery worker has to know before it starts: consumer tasks that stand beside other consumers, not in an app's
`tasks.py`, and the commands that it obeys for jobs.
"""

from __future__ import annotations

from importlib import import_module

from celery import current_app, signals
from django.conf import settings
from django.utils.module_loading import autodiscover_modules

from chancelery.registry import channel_layers


def listen() -> None:
    """Import them when a Celery worker starts in this process."""
    signals.worker_init.connect(_import, dispatch_uid="chancelery")


def _import(**_: object) -> None:
    import_module("chancelery.tasks.engine.stopping")
    current_app.steps["consumer"].add(import_module("chancelery.tasks.engine.dropping").CatchUp)
    autodiscover_modules("consumers")
    for alias in getattr(settings, "CHANNEL_LAYERS", {}):
        _router = channel_layers[alias].router  # imports what it routes to
