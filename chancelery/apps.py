"""Django's door: what is connected once the apps are loaded."""

import sys

from django.apps import AppConfig

from chancelery import checks
from chancelery.auth import closing
from chancelery.binding import registration


class ChanceleryConfig(AppConfig):
    """What Django calls the package, and what it does when it starts."""

    name = "chancelery"
    verbose_name = "Chancelery"

    def ready(self) -> None:
        """Register the checks, hear of logouts and of Celery workers, and have bindings hear of their models."""
        checks.register()
        closing.listen()
        registration.register_all()
        if "celery" in sys.modules:  # which a worker has loaded by now; importing it takes others a fifth of a second
            from chancelery.tasks.engine import discovery, waiting  # noqa: PLC0415

            discovery.listen()
            waiting.install()
