"""The model of the talk's listing on data binding."""

from django.db import models


class IntegerValue(models.Model):  # noqa: DJ008 - as the talk has it
    name = models.CharField(max_length=100, unique=True)
    value = models.IntegerField(default=0)

    class Meta:
        app_label = "talk"
