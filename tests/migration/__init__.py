"""A project as it was written for Channels 1, and what it takes to run it today."""
