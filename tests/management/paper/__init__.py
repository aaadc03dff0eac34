"""A site for the tests of `runserver`, which copy it to a folder of their own and change its code there."""

from .celery import app as celery_app

__all__ = ["celery_app"]
