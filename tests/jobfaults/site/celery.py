"""As in Celery's guide for Django."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.jobfaults.site.settings")

app = Celery("jobfaults")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["tests.jobfaults.site"])
