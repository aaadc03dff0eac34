"""Settings of the worker process."""

import os

from chancelery.deployment import Deployment
from tests.settings import *  # noqa: F403

ROUTING = "tests.tasks.project.routing.channel_routing"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "chancelery", "tests.tasks.project"]

globals().update(
    Deployment(os.environ["TESTS_REDIS_URL"], prefix=os.environ["TESTS_PREFIX"]).django_settings(routing=ROUTING)
)

ROOT_URLCONF = "tests.tasks.project.urls"
CHANCELERY = {**globals().get("CHANCELERY", {}), "JOB_RESULT_BYTES": 8 * 1024 * 1024}

TASKS = {"default": {"BACKEND": "chancelery.tasks.django_backend.JobTaskBackend", "QUEUES": []}}
