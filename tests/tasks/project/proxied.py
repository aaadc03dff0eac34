"""Settings of workers whose broker is behind a proxy: ours, or (TESTS_PLAIN) Celery's own in their place."""

import os

from tests.tasks.project.settings import *  # noqa: F403
from tests.tasks.project.settings import CELERY_BROKER_TRANSPORT_OPTIONS

CELERY_BROKER_TRANSPORT_OPTIONS |= {"socket_timeout": 1, "health_check_interval": 1, "unacked_restore_interval": 0.2}
CELERY_REDIS_SOCKET_TIMEOUT = 1
if os.environ.get("TESTS_PLAIN"):
    del CELERY_BROKER_TRANSPORT_OPTIONS["socket_timeout"]
    CELERY_BROKER_TRANSPORT = None
    CELERY_WORKER_PREFETCH_MULTIPLIER = 4
