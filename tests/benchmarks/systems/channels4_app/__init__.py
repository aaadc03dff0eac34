"""The same site on Channels 4, channels_redis and Celery."""

from channels4_app.celery import app as celery_app

__all__ = ["celery_app"]
