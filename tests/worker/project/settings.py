"""A project for the tests of `runworker`, as a process of its own."""

import os

SECRET_KEY = "only for tests"
USE_TZ = True
INSTALLED_APPS = ["chancelery"]
ROUTING = "tests.worker.project.routing"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "chancelery.layers.redis",
        "ROUTING": ROUTING,
        "CONFIG": {
            "hosts": [os.environ["WORKER_REDIS_URL"]],
            "prefix": os.environ["WORKER_PREFIX"],
            "lease_seconds": 1,
            "at_least_once": {"again": 2},
        },
    },
    "memory": {"BACKEND": "chancelery.layers.memory", "ROUTING": ROUTING},
}
CHANCELERY = {"DRAIN_SECONDS": float(os.environ.get("WORKER_DRAIN_SECONDS", "30"))}
