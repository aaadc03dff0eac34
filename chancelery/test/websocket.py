"""A browser with a socket: cookies, headers, a login, and frames as a gateway makes messages of them."""

from __future__ import annotations

import copy
import json as json_format
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from django.contrib.sessions.backends.base import SessionBase
from django.test import Client as Browser

from chancelery.sessions import ChannelSession, session_for_reply_channel
from chancelery.test.client import Client
from chancelery.types import Content

CONNECT: Final = "websocket.connect"
_HANDSHAKE: Final[Content] = {
    "query_string": b"",
    "root_path": "",
    "client": ["127.0.0.1", 50000],
    "server": ["testserver", 80],
}
_BY_CHANNEL: Final[dict[str, Content]] = {
    CONNECT: {"scheme": "ws", "subprotocols": [], **_HANDSHAKE},
    "websocket.receive": {},
    "websocket.disconnect": {"code": 1000},
    "http.request": {"scheme": "http", "method": "GET", "http_version": "1.1", "body": b"", **_HANDSHAKE},
}
"""What a message of a channel has beside its path, unless a test says otherwise."""
_BARE: Final = {"websocket.receive", "websocket.disconnect"}
"""What comes over an open socket has no headers: they came with its handshake."""


class WSClient(Client):
    """
    A socket, and the browser that opens it.

    ordered: number every message, of whatever channel; those of the socket are numbered anyhow.
    browser: a `django.test.Client` whose cookies it shares, `self.client` say; one of its own by default.
    """

    def __init__(self, *args: Any, ordered: bool = False, browser: Browser | None = None, **options: Any) -> None:
        """Takes what `Client` takes, too."""
        super().__init__(*args, **options)
        self.order = 0
        self.browser: Any = browser or Browser()
        self._ordered = ordered
        self._headers: dict[str, str] = {}
        self._session: SessionBase | None = None
        self._returned: deque[Content] = deque()

    # The browser

    def set_cookie(self, key: str, value: str) -> None:
        """Have the browser send a cookie."""
        self.browser.cookies[key] = value

    def get_cookies(self) -> dict[str, str]:
        """Return what cookies the browser sends."""
        return {key: morsel.value for key, morsel in self.browser.cookies.items()}

    def set_header(self, key: str, value: str) -> None:
        """Have the browser send a header. Raises: ValueError for that of cookies."""
        if key.lower() == "cookie":
            raise ValueError("cookies have a header of their own: use set_cookie(key, value)")
        self._headers[key.lower()] = value

    @property
    def headers(self) -> dict[str, str]:
        """What headers the browser sends, their names in lower case."""
        cookies = "; ".join(f"{key}={morsel.coded_value}" for key, morsel in self.browser.cookies.items())
        return {**self._headers, "cookie": cookies} if cookies else dict(self._headers)

    @property
    def session(self) -> SessionBase:
        """The browser's session, as views have it; made, with its cookie, when there is none. Save it after changes."""
        if self._session is None:
            self._session = self.browser.session
        return self._session

    @property
    def channel_session(self) -> ChannelSession:
        """The socket's session, as consumers have it in `message.channel_session`, and as it is stored now."""
        return session_for_reply_channel(self.reply_channel)

    def login(self, **credentials: Any) -> bool:
        """Log in; return whether the credentials were right."""
        self._session = None
        return bool(self.browser.login(**credentials))

    def force_login(self, user: Any, backend: str | None = None) -> None:
        """Log *user* in without credentials."""
        self._session = None
        self.browser.force_login(user, backend)

    def logout(self) -> None:
        """Log out, and forget all cookies."""
        self._session = None
        self.browser.logout()

    # The socket

    def send(
        self,
        to: str,
        content: Mapping[str, Any] | None = None,
        text: Any = None,
        path: str = "/",
    ) -> None:
        """
        Send a message as a gateway would, unless *content* says otherwise.

        text: what the frame says; what is no text is sent as JSON. path: may have a query string.
        """
        self._post(to, self._completed(to, copy.deepcopy(dict(content or {})), text, path))

    def consume(
        self,
        channel: str,
        fail_on_none: bool = True,  # noqa: FBT001, FBT002
        check_accept: bool = True,  # noqa: FBT001, FBT002
    ) -> Any:
        """
        As `Client.consume`.

        check_accept: whether it is an error when a socket that connects is not accepted. The `accept` is received then.
        """
        returned = super().consume(channel, fail_on_none=fail_on_none)
        if channel == CONNECT and check_accept:
            self._require_acceptance()
        return returned

    def send_and_consume(  # type: ignore[override] # noqa: PLR0917 - Channels 1's signature
        self,
        channel: str,
        content: Mapping[str, Any] | None = None,
        text: Any = None,
        path: str = "/",
        fail_on_none: bool = True,  # noqa: FBT001, FBT002
        check_accept: bool = True,  # noqa: FBT001, FBT002
    ) -> Any:
        """`send`, then `consume`."""
        self.send(channel, content, text, path)
        return self.consume(channel, fail_on_none=fail_on_none, check_accept=check_accept)

    def receive(self, json: bool = True) -> Any:  # noqa: FBT001, FBT002 - Channels 1's signature
        """
        Return what the next frame says, or a message's content where it is no text frame; None when there is none.

        json: whether a text is parsed. Raises: ValueError for one that is no JSON.
        """
        content: Any = self._returned.popleft() if self._returned else super().receive()
        if not content or content.get("text") is None:
            return content
        return _parsed(content["text"]) if json else content["text"]

    def _completed(self, to: str, content: Content, text: Any, path: str) -> Content:
        path, _, query = path.partition("?")
        completed: Content = {"reply_channel": self.reply_channel, "path": path, **_BY_CHANNEL.get(to, {})}
        if to not in _BARE:
            completed.update({"query_string": query.encode()} if query else {})
            headers = {"host": "testserver", **self.headers}
            completed["headers"] = [[key.encode(), value.encode("latin-1")] for key, value in headers.items()]
        completed.update(content)
        self._number(to, completed, given=content)
        said = content.get("text") if text is None else text
        if said is not None:
            completed["text"] = said if isinstance(said, str) else json_format.dumps(said)
        return completed

    def _number(self, to: str, completed: Content, *, given: Content) -> None:
        if self._ordered and "order" in given:
            raise ValueError("an ordered client numbers its messages itself: leave order out, or ordered=True")
        if self._ordered or (to.startswith("websocket.") and "order" not in given):
            completed["order"] = self.order
            self.order += 1

    def _require_acceptance(self) -> None:
        content = super().receive()
        if content is None:
            raise AssertionError(
                "the socket was not answered: its consumer deferred that, or its message is handled again later; pass "
                "check_accept=False if that is right"
            )
        says_something = {key: value for key, value in content.items() if key != "accept"}
        if content.get("accept") is not True and not (content.get("text") or content.get("bytes")):
            raise AssertionError(f"the socket was not accepted: {content!r}")
        if says_something:
            self._returned.append(says_something)


def _parsed(text: str) -> Any:
    try:
        return json_format.loads(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no JSON ({error}): use receive(json=False) for frames that are not") from error
