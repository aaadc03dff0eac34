"""Settings of the site; the driver chooses its Redis, which is a proxy's port, and where it records."""

import json
import os

SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["chancelery"]
USE_TZ = True
FAULTS = json.loads(os.environ["FAULTS_SITE"])
"""role, folder for the records, url of the layer's Redis"""
LAYER = {"hosts": [FAULTS["url"]], **FAULTS["layer"]}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "tests.faults.site.recording.RecordingLayer",
        "CONFIG": LAYER,
        "ROUTING": "tests.faults.site.routing.channel_routing",
    }
}
CHANCELERY = {"DRAIN_SECONDS": 8, "CONNECT_TIMEOUT": 4}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(name)s %(levelname)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
