"""
Django settings of the Channels 4 site. BENCHMARK_LAYER says which of channels_redis' two layers, `core` or `pubsub`.

`socket_timeout` is set because redis-py 8 has a default of five seconds, at which the core layer's blocking read of
five seconds kills an idle consumer: with it the peers run as they are meant to.
"""

import os

REDIS_URL = os.environ["BENCHMARK_REDIS_URL"]
SECRET_KEY = "benchmark"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
INSTALLED_APPS = ["channels"]
ASGI_APPLICATION = "channels4_app.asgi.application"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": {
            "core": "channels_redis.core.RedisChannelLayer",
            "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
        }[os.environ["BENCHMARK_LAYER"]],
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": 30}]},
    },
}
CELERY_BROKER_URL = REDIS_URL
CELERY_RESULT_BACKEND = REDIS_URL
