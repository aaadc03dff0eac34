"""What the bridge speaks to in a real browser: a gateway, a worker and Celery, each a process of its own."""
