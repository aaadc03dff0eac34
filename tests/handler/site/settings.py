"""Settings of that site; the tests choose its Redis."""

import json
import os

SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["chancelery"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]
ROOT_URLCONF = "tests.handler.site.urls"
USE_TZ = True
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "chancelery.layers.redis.RedisChannelLayer",
        "CONFIG": {"hosts": [os.environ["TEST_REDIS_URL"]], "prefix": os.environ["TEST_PREFIX"]},
        "ROUTING": "tests.handler.site.routing",
    }
}
CHANCELERY = json.loads(os.environ.get("TEST_CHANCELERY", "{}"))
