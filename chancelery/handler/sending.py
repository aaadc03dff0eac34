"""
Sends a response no faster than its client takes it, and ends when the client is gone.

After so many bytes, and after so many seconds, a message of the response names a channel on which the gateway confirms
that its client has been handed all so far, or says that there is no client any more.
"""

from __future__ import annotations

import time
from typing import Final

from chancelery import conf
from chancelery.channel import Channel
from chancelery.exceptions import RequestAborted
from chancelery.handler.mail import receive_within
from chancelery.types import Content

_BYTES: Final = 512 * 1024
_SECONDS: Final = 5.0
_MOST_UNCONFIRMED: Final = 8
"""So up to 4 MiB leave at once, whoever the client: this thread is then free for others."""


class Sending:
    """A response on its way to *reply_channel*. confirms: whether who reads that confirms anything."""

    def __init__(self, reply_channel: Channel, *, confirms: bool) -> None:
        self._reply_channel = reply_channel
        self._layer = reply_channel.channel_layer.layer
        self._confirms = confirms
        self._channel = ""
        self._unconfirmed = 0
        self._bytes = 0
        self._asked_at = time.monotonic()

    def send(self, content: Content) -> None:
        """
        Send the next message of the response.

        Raises: RequestAborted when the client is gone, or has taken nothing for `http_timeout` seconds; ChannelFull
        when its gateway had no room for `capacity_wait` seconds.
        """
        asks = self._is_to_ask(content)
        if asks:
            self._channel = self._channel or self._layer.new_channel("http.response.taken?")
            content = {**content, "confirm": self._channel}
        self._reply_channel.send(content, immediately=True)
        if asks:
            self._unconfirmed += 1
            self._bytes, self._asked_at = 0, time.monotonic()
            self._heed(must_wait=self._unconfirmed >= _MOST_UNCONFIRMED)

    def _is_to_ask(self, content: Content) -> bool:
        self._bytes += len(content["content"])  # type: ignore[arg-type] # bytes, by the handler
        has_waited = time.monotonic() - self._asked_at > _SECONDS
        return self._confirms and bool(content["more_content"]) and (self._bytes >= _BYTES or has_waited)

    def _heed(self, *, must_wait: bool) -> None:
        """Take a confirmation, if there is one."""
        seconds = conf.current().http_timeout if must_wait else 0
        confirmation = receive_within(seconds, self._layer, self._channel)
        if confirmation is not None:
            if confirmation.get("closed"):
                raise RequestAborted("the client went away before all of its response was sent")
            self._unconfirmed -= 1
        elif must_wait:
            raise RequestAborted(f"the client has taken nothing for {seconds:g} seconds")
