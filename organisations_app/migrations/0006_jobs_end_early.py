"""Jobs can be stopped, can fail, and can find something. Servers of the release before go on making jobs without."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("organisations_app", "0005_jobs_and_closed_organisations")]

    operations = [
        migrations.AddField("job", "stop_asked_by", models.CharField(blank=True, db_default="", default="", max_length=200)),
        migrations.AddField(
            "job",
            "ended_early",
            models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Why it ended before all was done, for people; empty: it did all.",
                max_length=500,
            ),
        ),
        migrations.AddField(
            "job",
            "found",
            models.JSONField(
                db_default={}, default=dict, help_text="What an act that looks for something has found so far."
            ),
        ),
    ]
