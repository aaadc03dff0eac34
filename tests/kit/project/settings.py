"""A project whose tests are run by Django's runner, and by pytest. Its layer is on a Redis that is not there."""

SECRET_KEY = "only for tests"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "chancelery",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "tests.kit.urls"
STATIC_URL = "/static/"
USE_TZ = True
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "chancelery.layers.redis",
        "CONFIG": {"hosts": ["redis://127.0.0.1:1"]},
        "ROUTING": "tests.kit.project.routing.channel_routing",
    }
}
