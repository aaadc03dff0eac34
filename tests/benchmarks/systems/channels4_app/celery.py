"""Celery, as its guide for Django has it."""

from celery import Celery

app = Celery("channels4_app")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["channels4_app"])
