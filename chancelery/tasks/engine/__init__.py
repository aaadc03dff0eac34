"""What stands in the place of Celery's own parts, named in settings. Only this room knows their insides."""
