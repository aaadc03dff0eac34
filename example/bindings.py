"""What pages and the database keep alike: a slider that is moved on one page moves on all of them."""

from __future__ import annotations

from typing import Any

from chancelery.binding.websockets import WebsocketBinding
from example.models import Slider

GROUP = "sliders"


class SliderBinding(WebsocketBinding):
    """Anybody may move a slider; nobody may rename, add or remove one."""

    model = Slider
    stream = "slider"
    fields = ("value",)
    coalesce = 0.05
    channel_session_user = False  # anybody may: no session is read to find out who

    @classmethod
    def group_names(cls, instance: Slider) -> list[str]:  # noqa: ARG003 - all of them are in one group
        return [GROUP]

    def has_permission(self, user: Any, action: str, pk: Any) -> bool:  # noqa: ARG002 - anybody, any slider
        return action == "update"
