"""Jobs can be stopped, can fail, and can find something."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("organisations_app", "0005_jobs_and_closed_organisations")]

    operations = [
        migrations.AddField("job", "stop_asked_by", models.CharField(blank=True, default="", max_length=200), False),
        migrations.AddField(
            "job",
            "ended_early",
            models.CharField(
                blank=True,
                default="",
                help_text="Why it ended before all was done, for people; empty: it did all.",
                max_length=500,
            ),
            False,
        ),
        migrations.AddField(
            "job",
            "found",
            models.JSONField(default=dict, help_text="What an act that looks for something has found so far."),
        ),
    ]
