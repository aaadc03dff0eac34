"""Its database is a file, its layer is on the tests' server."""

import os

SECRET_KEY = "only for tests"
USE_TZ = True
INSTALLED_APPS = ["chancelery", *os.environ.get("DELAY_APPS", "chancelery.delay").split()]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["DELAY_DB"],
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "chancelery.layers.redis",
        "ROUTING": [],
        "CONFIG": {"hosts": [os.environ["DELAY_REDIS_URL"]], "prefix": os.environ["DELAY_PREFIX"]},
    },
    "memory": {"BACKEND": "chancelery.layers.memory", "ROUTING": []},
}
