"""Models with a bit of everything that a field can be."""

# ruff: noqa: DJ008 - nobody reads them

from __future__ import annotations

import uuid

from django.core.exceptions import ValidationError
from django.db import models


class Room(models.Model):
    name = models.CharField(max_length=20)


class Tag(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=20)
    near = models.ManyToManyField("self", blank=True)


class Story(models.Model):
    title = models.CharField(max_length=20)
    words = models.IntegerField(default=0)
    price = models.DecimalField(max_digits=6, decimal_places=2, null=True, blank=True)
    weight = models.FloatField(default=1.0)
    starts = models.DateField(null=True, blank=True)
    lasts = models.DurationField(null=True, blank=True)
    is_out = models.BooleanField(default=False)
    kind = models.CharField(max_length=5, choices=[("news", "News"), ("ad", "Ad")], default="news")
    notes = models.JSONField(default=dict, blank=True)
    room = models.ForeignKey(Room, models.CASCADE, null=True, blank=True)
    tags = models.ManyToManyField(Tag, blank=True, related_name="stories")
    file = models.FileField(blank=True)
    secret = models.CharField(max_length=20, default="hidden")
    changed = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["room", "title"], name="one_title_per_room"),
            models.CheckConstraint(condition=models.Q(words__gte=-1000), name="not_too_few_words"),
        )

    def clean(self) -> None:
        if self.title == "forbidden":
            raise ValidationError("not this one")

    @property
    def shouted(self) -> str:
        return self.title.upper()

    def doubled(self) -> int:
        return self.words * 2


class Draft(Story):
    """The same table."""

    class Meta:
        proxy = True


class Feature(Story):
    """A table of its own, beside that of its parent."""

    pages = models.IntegerField(default=1)


class Label(models.Model):
    """Has a save of its own, and a key that is a text."""

    code = models.CharField(max_length=10, primary_key=True)
    text = models.CharField(max_length=20, blank=True)
    slug = models.CharField(max_length=20, blank=True)

    def save(self, *args, **kwargs) -> None:
        self.slug = self.text.lower()
        super().save(*args, **kwargs)


class Found(models.Model):
    """Bound by this app's `bindings` module, which nothing but Django's start imports."""

    name = models.CharField(max_length=20)


class Holder(models.Model):
    """Protects what it holds."""

    story = models.ForeignKey(Story, models.PROTECT)


class Seat(models.Model):
    """Its key is two of its fields."""

    pk = models.CompositePrimaryKey("row", "number")
    row = models.IntegerField()
    number = models.IntegerField()
    guest = models.CharField(max_length=20, blank=True)


class OpenCabinets(models.Manager["Cabinet"]):
    """Those that are nobody's business are left out."""

    def get_queryset(self) -> models.QuerySet[Cabinet]:
        return super().get_queryset().filter(is_open=True)


class Cabinet(models.Model):
    """Not everybody's."""

    is_open = models.BooleanField(default=True)
    objects = OpenCabinets()


class Drawer(models.Model):
    """Says which file is in it."""

    label = models.CharField(max_length=20)
    path = models.FilePathField(path="/srv", blank=True)
    cabinet = models.ForeignKey(Cabinet, models.CASCADE, null=True, blank=True)
    others = models.ManyToManyField(Cabinet, blank=True, related_name="+")
