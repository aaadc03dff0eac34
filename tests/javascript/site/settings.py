"""The tasks are those of the tests of the bridge to Celery."""

import os

from chancelery.deployment import Deployment
from tests.tasks.project.settings import *  # noqa: F403

globals().update(
    Deployment(os.environ["TESTS_REDIS_URL"], prefix=os.environ["TESTS_PREFIX"]).django_settings(
        routing="tests.javascript.site.consumers.channel_routing"
    )
)
