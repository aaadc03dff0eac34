"""Django's door: what is connected once the apps are loaded."""

from django.apps import AppConfig

from chancelery import checks
from chancelery.auth import closing
from chancelery.binding import registration


class ChanceleryConfig(AppConfig):
    """What Django calls the package, and what it does when it starts."""

    name = "chancelery"
    verbose_name = "Chancelery"

    def ready(self) -> None:
        """Register the checks, hear of logouts, and have bindings hear of their models."""
        checks.register()
        closing.listen()
        registration.register_all()
