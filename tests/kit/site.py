"""The settings of the small site that the kit is tried with."""

MEMORY = "chancelery.layers.memory"
LAYERS = {
    "default": {"BACKEND": MEMORY, "ROUTING": "tests.kit.consumers.routing", "CONFIG": {"expiry": 90, "capacity": 7}},
    "other": {"BACKEND": MEMORY, "ROUTING": []},
}
