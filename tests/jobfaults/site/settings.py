"""Settings of the site, with leases and timeouts so short that what a dead process held comes back within a run."""

import json
import os

from chancelery.deployment import Deployment

SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["chancelery"]
USE_TZ = True
FAULTS = json.loads(os.environ["FAULTS_SITE"])
"""role, folder for the records, url of Redis, prefix of its keys"""

vars().update(
    Deployment(FAULTS["url"], prefix=FAULTS["prefix"]).django_settings(
        routing="tests.jobfaults.site.routing.channel_routing"
    )
)
CHANNEL_LAYERS["default"]["CONFIG"] |= {"lease_seconds": 2}  # type: ignore[name-defined]  # noqa: F821
CELERY_BROKER_TRANSPORT_OPTIONS |= {  # type: ignore[name-defined]  # noqa: F821
    # Shorter than Celery's claim to publish a chord's body: a part that is handed out again finds its predecessor's.
    "visibility_timeout": 4,
    "unacked_restore_interval": 0.5,
    "unacked_mutex_expire": 2,
}
CELERY_TASK_DEFAULT_QUEUE = "jobs"
CHANCELERY = {"DRAIN_SECONDS": 8, "CONNECT_TIMEOUT": 4, "JOB_LONG_WAIT": 1}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(name)s %(levelname)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
