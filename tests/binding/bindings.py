"""Imported when the apps are ready."""

from chancelery.binding.websockets import WebsocketBinding


class FoundBinding(WebsocketBinding):
    model = "binding.Found"
    stream = "found"
    fields = ("name",)
    groups = ("found",)
