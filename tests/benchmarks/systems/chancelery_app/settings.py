"""Django settings of the Chancelery site: everything on one Redis."""

import os

from chancelery.deployment import Deployment

SECRET_KEY = "benchmark"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
INSTALLED_APPS = ["chancelery"]
vars().update(
    Deployment(os.environ["BENCHMARK_REDIS_URL"], prefix="bench").django_settings(
        routing="chancelery_app.routing.channel_routing"
    )
)
