"""
Django's management commands: `python -m example migrate`.

A manage.py in this folder would put the folder on the path, where celery.py stands in the way of Celery.
"""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example.settings")

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
