"""What `manage.py channels` shows: samples of a layer, as tables for people and as JSON for programs."""
