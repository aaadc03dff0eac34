"""A Django site over channels, for the tests with real servers and a real worker."""
