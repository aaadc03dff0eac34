"""As in Celery's guide for Django."""

from celery import Celery

app = Celery("paper")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
