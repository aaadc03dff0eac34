"""The sliders, three of them."""

# ruff: noqa: RUF012 - the form that Django gives migrations

from typing import Any

import django.core.validators
from django.db import migrations, models


def add_sliders(apps: Any, _schema_editor: Any) -> None:
    sliders = apps.get_model("example", "Slider").objects
    for name, value in (("Lamp", 40), ("Hearth", 65), ("Window", 10)):
        sliders.get_or_create(name=name, defaults={"value": value})


class Migration(migrations.Migration):
    dependencies = [("example", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Slider",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=50, unique=True)),
                (
                    "value",
                    models.PositiveSmallIntegerField(
                        default=0, validators=[django.core.validators.MaxValueValidator(100)]
                    ),
                ),
                ("saves", models.PositiveIntegerField(default=0, editable=False)),
            ],
        ),
        migrations.RunPython(add_sliders, migrations.RunPython.noop),
    ]
