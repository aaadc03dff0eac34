"""Texts that visitors gave, what was counted in parts of them, and sliders that everybody may move."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils import timezone

MAX_UPLOAD_BYTES = 32 * 1024 * 1024
KEPT = timedelta(days=1)


class UploadRefused(ValueError):
    """The text is empty or too large; nothing was kept."""


class Upload(models.Model):
    """A text, in a file. Jobs name it by its id, which cannot be guessed, and by ranges of its bytes."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=200)
    size = models.PositiveBigIntegerField()
    created = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.size} bytes)"

    @property
    def path(self) -> Path:
        """The file that holds the text."""
        return Path(settings.MEDIA_ROOT) / f"{self.pk}.txt"

    @classmethod
    def store(cls, name: str, chunks: Iterable[bytes]) -> Upload:
        """
        Write *chunks* to a file, one by one, and return the upload. Older ones make room after a day.

        Raises: UploadRefused when there is nothing, or more than MAX_UPLOAD_BYTES.
        """
        cls.sweep()
        upload = cls(name=name[:200])
        upload.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            upload.size = _write(upload.path, chunks)
            upload.save(force_insert=True)
        except BaseException:
            upload.path.unlink(missing_ok=True)
            raise
        return upload

    @classmethod
    def sweep(cls) -> None:
        """Remove what is older than a day."""
        for upload in cls.objects.filter(created__lt=timezone.now() - KEPT):
            upload.path.unlink(missing_ok=True)
            upload.delete()


class PartCount(models.Model):
    """The words of one part of an upload: text -> how often. Counting a part again finds it here."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE)
    start = models.PositiveBigIntegerField()
    stop = models.PositiveBigIntegerField()
    counts = models.JSONField()

    class Meta:  # noqa: D106 - Django's own
        constraints = (models.UniqueConstraint(fields=["upload", "start", "stop"], name="one_count_per_part"),)

    def __str__(self) -> str:
        return f"{self.upload_id}: bytes {self.start} to {self.stop}"


class Slider(models.Model):
    """A value from 0 to 100 that every open page shows. `saves` stays here: the binding does not name it."""

    name = models.CharField(max_length=50, unique=True)
    value = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(100)])
    saves = models.PositiveIntegerField(default=0, editable=False)

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store it, and count that."""
        self.saves += 1
        if kwargs.get("update_fields") is not None:
            kwargs["update_fields"] = {*kwargs["update_fields"], "saves"}
        super().save(*args, **kwargs)


def _write(path: Path, chunks: Iterable[bytes]) -> int:
    size = 0
    with path.open("xb") as file:
        for chunk in chunks:
            size += len(chunk)
            if size > MAX_UPLOAD_BYTES:
                raise UploadRefused(f"the text is larger than {MAX_UPLOAD_BYTES // 1024**2} MiB: give a shorter one")
            file.write(chunk)
    if not size:
        raise UploadRefused("the text is empty: give one of at least a character")
    return size
