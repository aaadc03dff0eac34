"""What the protocol servers are given."""

import os

from chancelery.asgi import get_channel_layer

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.jobfaults.site.settings")

channel_layer = get_channel_layer()
