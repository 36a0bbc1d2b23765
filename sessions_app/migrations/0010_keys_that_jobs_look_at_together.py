"""A what-if looks at the keys of a shared counter together."""

from django.db import migrations, models
from django.db.models.deletion import CASCADE


class Migration(migrations.Migration):
    dependencies = [
        ("sessions_app", "0009_who_shares_counters"),
        ("organisations_app", "0006_jobs_end_early"),
    ]

    operations = [
        migrations.CreateModel(
            name="KeyJobShare",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("counter", models.CharField(max_length=250)),
                ("key_id", models.CharField(max_length=32)),
                (
                    "job",
                    models.ForeignKey(
                        db_index=False, on_delete=CASCADE, related_name="shares", to="organisations_app.job"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("job", "counter", "key_id"), name="key_job_share_once")
                ],
            },
        ),
    ]
