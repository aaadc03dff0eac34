"""The Django project of a run; its Celery app is loaded with it, as Celery's guide for Django says."""

from tests.jobfaults.site.celery import app as celery_app

__all__ = ["celery_app"]
