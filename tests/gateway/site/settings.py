"""Settings of that site; the tests choose its Redis, and what they need to be quick."""

import json
import os

SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["example.com"]
INSTALLED_APPS = ["chancelery"]
USE_TZ = True
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "chancelery.layers.redis.RedisChannelLayer",
        "CONFIG": {
            "hosts": [os.environ["TEST_REDIS_URL"]],
            "prefix": os.environ["TEST_PREFIX"],
            "lease_seconds": float(os.environ.get("TEST_LEASE_SECONDS", "15")),
        },
        "ROUTING": [],
    }
}
CHANCELERY = json.loads(os.environ.get("TEST_CHANCELERY", "{}"))
