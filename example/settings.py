"""
Settings of the example site. What differs from machine to machine is taken from the environment:

REDIS_URL, SECRET_KEY, EXAMPLE_DEBUG (1 or 0), EXAMPLE_HOSTS (comma-separated), EXAMPLE_DB (a file), EXAMPLE_MEDIA
(a folder), DAPHNE_PORT (where the page looks for the sockets).
"""

import os
from pathlib import Path

from chancelery.deployment import Deployment

BASE_DIR = Path(__file__).resolve().parent
DEBUG = os.environ.get("EXAMPLE_DEBUG", "1") == "1"
SECRET_KEY = os.environ.get("SECRET_KEY", "not-secret-at-all-and-good-for-an-example-on-your-own-machine-only")
ALLOWED_HOSTS = os.environ.get("EXAMPLE_HOSTS", "127.0.0.1,localhost,[::1]").split(",")
ROOT_URLCONF = "example.urls"
WSGI_APPLICATION = "example.wsgi.application"
USE_TZ = True
TIME_ZONE = "UTC"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "chancelery",  # before staticfiles, whose runserver would be found otherwise
    "django.contrib.staticfiles",
    "example",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # no build step: static files are served from where they are written

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("EXAMPLE_DB", BASE_DIR / "db.sqlite3"),
        "OPTIONS": {
            # Web, workers and Celery write at the same time: readers are not blocked, writers wait for their turn.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MEDIA_ROOT = Path(os.environ.get("EXAMPLE_MEDIA", BASE_DIR / "uploads"))

DAPHNE_PORT = int(os.environ.get("DAPHNE_PORT", "8001"))

# Channel layer, cache, sessions, Celery's broker and its results: everything on one Redis.
REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
vars().update(Deployment(REDIS_URL, prefix="example").django_settings(routing="example.routing.channel_routing"))
