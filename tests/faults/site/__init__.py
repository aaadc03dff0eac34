"""A Django site whose consumers record what they are given."""
