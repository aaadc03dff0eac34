"""Settings of worker processes whose clock is ahead, and which count as lost soon."""

import os
import time

from tests.tasks.project import settings as usual

globals().update({name: value for name, value in vars(usual).items() if name.isupper()})

AHEAD_SECONDS = float(os.environ["TESTS_AHEAD_SECONDS"])

CELERY_BROKER_TRANSPORT_OPTIONS = {**usual.CELERY_BROKER_TRANSPORT_OPTIONS, "visibility_timeout": 1}  # type: ignore[attr-defined]
CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS = {
    **usual.CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS,  # type: ignore[attr-defined]
    "job_clock": lambda: time.time() + AHEAD_SECONDS,
}
