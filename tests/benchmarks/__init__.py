"""Chancelery beside Channels 4, channels_redis and Celery glued by hand: `python -m tests.benchmarks`."""
