"""The table of messages that wait."""

from typing import ClassVar

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    """Makes the table."""

    initial = True
    dependencies: ClassVar = []
    operations: ClassVar = [
        migrations.CreateModel(
            name="DelayedMessage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("due_date", models.DateTimeField(default=django.utils.timezone.now)),
                ("channel_name", models.CharField(max_length=512)),
                ("to_group", models.BooleanField(default=False)),
                ("alias", models.CharField(default="default", max_length=100)),
                ("envelope", models.BinaryField()),
                ("claim", models.CharField(blank=True, default="", editable=False, max_length=32)),
                ("claimed_until", models.DateTimeField(editable=False, null=True)),
                ("problem", models.TextField(blank=True, default="")),
            ],
            options={
                "indexes": [models.Index(fields=["due_date"], name="chancelery_delay_due")],
            },
        ),
    ]
