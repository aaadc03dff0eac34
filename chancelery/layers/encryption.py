"""
Bodies that only the holders of a key can read: AES-256 in GCM, with keys that can be changed while everything runs.

A sealed body takes the place of content and trail as `bin` and nil, so that the head stays what the scripts read and
any msgpack library decodes the envelope. In the `bin`: salt (16 bytes), nonce (12), ciphertext and tag. What encrypts
is derived from a key and the salt (HKDF with SHA-256); each process draws a new salt every hour, since random nonces
are safe for 2^32 messages under one key. Source: RFC 5869, NIST SP 800-38D; `docs/decisions/0011-encryption.md`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chancelery.exceptions import CorruptMessage, InvalidChannelLayerError
from chancelery.layers import codec

SHORTEST_KEY: Final = 32
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_SALT_SECONDS: Final = 3600
_MOST_SALTS: Final = 10_000
_PURPOSE: Final = b"chancelery: the body of a channel layer's message"
_NIL: Final = b"\xc0"
_VERSION: Final = bytes((codec.VERSION,))
_BIN_HEADS: Final = (b"\xc4", b"\xc5", b"\xc6")
_ALLOWED: Final = (
    f"encryption_keys is a list of texts of at least {SHORTEST_KEY} characters, the newest first, made with "
    f"secrets.token_urlsafe(32), for instance; None among them stands for messages that are not encrypted"
)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[bytes, None]).decode


class Cipher:
    """
    Seals bodies and opens them.

    keys: the first one seals, each of them opens. None as the first: bodies stay as they are; elsewhere: those that
    are not sealed can be read. Raises: InvalidChannelLayerError, which shows no key.
    """

    def __init__(self, keys: Sequence[str | None]) -> None:
        self._keys = [key.encode() for key in _required(keys) if key is not None]
        self._seals = keys[0] is not None
        self.reads_plain = None in keys
        self._sealing: tuple[float, bytes, AESGCM] = (0.0, b"", AESGCM(bytes(32)))
        self._opening: dict[bytes, AESGCM] = {}

    def seal(self, body: bytes) -> bytes:
        """Return *body*, from `codec.pack_body`, as it is put behind a head."""
        if not self._seals:
            return body
        until, salt, sealing = self._sealing
        if time.monotonic() >= until:
            salt = os.urandom(_SALT_BYTES)
            sealing = _derived(self._keys[0], salt)
            self._sealing = (time.monotonic() + _SALT_SECONDS, salt, sealing)
        nonce = os.urandom(_NONCE_BYTES)
        return _encode(b"".join((salt, nonce, sealing.encrypt(nonce, body, None)))) + _NIL

    def open(self, envelope: bytes) -> bytes:
        """Return *envelope* with its body opened. Raises: CorruptMessage when no key fits, or it was changed."""
        begin = _body_of(envelope)
        if envelope[begin : begin + 1] in _BIN_HEADS:
            return envelope[:begin] + self._opened(envelope[begin:])
        if self.reads_plain or envelope[1:2] > _VERSION:
            return envelope
        raise CorruptMessage("a message that is not encrypted, and encryption_keys has no None to allow that")

    def _opened(self, body: bytes) -> bytes:
        try:
            sealed = _decode(b"\x92" + body)[0]
        except msgspec.DecodeError as error:
            raise CorruptMessage(f"{len(body)} bytes that are no sealed body: {error}") from error
        salt, nonce = sealed[:_SALT_BYTES], sealed[_SALT_BYTES : _SALT_BYTES + _NONCE_BYTES]
        ciphertext = sealed[_SALT_BYTES + _NONCE_BYTES :]
        known = self._opening.get(salt)
        for opening in [known] if known else (_derived(key, salt) for key in self._keys):
            try:
                body = opening.decrypt(nonce, ciphertext, None)
            except (InvalidTag, ValueError):
                continue
            self._remember(salt, opening)
            return body
        raise CorruptMessage("an encrypted message that none of encryption_keys opens, or that was changed")

    def _remember(self, salt: bytes, opening: AESGCM) -> None:
        if salt not in self._opening:
            if len(self._opening) >= _MOST_SALTS:
                self._opening.clear()
            self._opening[salt] = opening


def _required(keys: Sequence[str | None]) -> Sequence[str | None]:
    if isinstance(keys, str | bytes) or not isinstance(keys, Sequence) or not keys:
        raise InvalidChannelLayerError(f"{_ALLOWED}; this is a {type(keys).__name__}, or empty")
    for number, key in enumerate(keys, 1):
        if key is None:
            continue
        if not isinstance(key, str):
            raise InvalidChannelLayerError(f"{_ALLOWED}; number {number} is of type {type(key).__name__}")
        if len(key) < SHORTEST_KEY:
            raise InvalidChannelLayerError(f"{_ALLOWED}; number {number} has {len(key)} characters")
    return keys


def _derived(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=salt, info=_PURPOSE).derive(key))


def _body_of(envelope: bytes) -> int:
    """Return where the body begins, behind a head of fixed form (see `codec`). Raises: CorruptMessage."""
    try:
        lane = 13 + envelope[12]
        return lane + 2 + envelope[lane + 1]
    except IndexError:
        raise CorruptMessage(f"{len(envelope)} bytes that are not an envelope") from None
