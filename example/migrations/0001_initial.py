"""The texts, and what was counted in their parts."""

# ruff: noqa: RUF012 - the form that Django gives migrations

import uuid

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Upload",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=200)),
                ("size", models.PositiveBigIntegerField()),
                ("created", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="PartCount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("start", models.PositiveBigIntegerField()),
                ("stop", models.PositiveBigIntegerField()),
                ("counts", models.JSONField()),
                ("upload", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="example.upload")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("upload", "start", "stop"), name="one_count_per_part")],
            },
        ),
    ]
