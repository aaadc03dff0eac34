"""Django's door: what is connected once the apps are loaded."""

from django.apps import AppConfig
from django.db import connections

from chancelery import checks
from chancelery.signals import consumer_finished, consumer_started


class ChanceleryConfig(AppConfig):
    """Treats a consumer's run as Django treats a request, where database connections are concerned."""

    name = "chancelery"
    verbose_name = "Chancelery"

    def ready(self) -> None:
        """Register the checks and connect the signals of the worker."""
        checks.register()
        consumer_started.connect(_tidy_connections, dispatch_uid="chancelery.apps")
        consumer_finished.connect(_tidy_connections, dispatch_uid="chancelery.apps")


def _tidy_connections(**_: object) -> None:
    """What Django's `reset_queries` and `close_old_connections` do around a request, in one pass."""
    for connection in connections.all(initialized_only=True):
        connection.queries_log.clear()
        connection.close_if_unusable_or_obsolete()
