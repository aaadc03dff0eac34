"""A Django site that only has a gateway, for the tests with real servers."""
