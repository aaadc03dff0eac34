"""What Django calls the app."""

from django.apps import AppConfig


class DelayConfig(AppConfig):
    """Its table is `chancelery_delay_delayedmessage`."""

    name = "chancelery.delay"
    label = "chancelery_delay"
    verbose_name = "Delayed messages"
    default_auto_field = "django.db.models.BigAutoField"
