"""A small site that shows what Chancelery does: `chancelery dev`, then http://127.0.0.1:8000/."""

from .celery import app as celery_app

__all__ = ("celery_app",)
