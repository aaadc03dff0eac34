"""As the tutorial has them; PAPER_LAYER says on what."""

import os
from pathlib import Path

from chancelery.deployment import Deployment

SECRET_KEY = "only for tests"
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
ROOT_URLCONF = "paper.urls"
INSTALLED_APPS = ["chancelery", "django.contrib.staticfiles", "paper", *os.environ.get("PAPER_APPS", "").split()]
STATIC_URL = "static/"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(__file__).parent / "db.sqlite3"}}
FORCE_SCRIPT_NAME = os.environ.get("PAPER_SCRIPT_NAME")

ROUTING = "paper.routing.channel_routing"
kind = os.environ.get("PAPER_LAYER", "redis")
if kind == "redis":
    # Nothing answers there: without REDIS_URL, there is no Redis.
    deployment = Deployment(os.environ.get("REDIS_URL", "redis://127.0.0.1:1/0"), prefix="paper")
    vars().update(deployment.django_settings(routing=ROUTING))
elif kind == "memory":
    CHANNEL_LAYERS = {"default": {"BACKEND": "chancelery.layers.memory", "ROUTING": ROUTING}}
CHANCELERY = {"DRAIN_SECONDS": float(os.environ.get("PAPER_DRAIN_SECONDS", "10"))}
