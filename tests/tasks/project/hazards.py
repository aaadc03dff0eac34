"""Settings of workers for which everything goes wrong that can: ours, or (TESTS_PLAIN) Celery's own in their place."""

import os

from tests.tasks.project.settings import *  # noqa: F403
from tests.tasks.project.settings import CELERY_BROKER_TRANSPORT_OPTIONS, CELERY_RESULT_BACKEND

CELERY_BROKER_TRANSPORT_OPTIONS |= {
    "visibility_timeout": float(os.environ["TESTS_VISIBILITY_TIMEOUT"]),
    "unacked_restore_interval": 0.5,
}
if os.environ.get("TESTS_PLAIN"):
    CELERY_BROKER_TRANSPORT = None
    CELERY_RESULT_BACKEND = CELERY_RESULT_BACKEND.partition("+")[2]
    CELERY_RESULT_BACKEND_ALWAYS_RETRY = False
