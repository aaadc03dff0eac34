"""A site for the tests of the bridge; its Celery worker is a real one, in a process of its own."""

from tests.tasks.project.celery import app as celery_app

__all__ = ["celery_app"]
