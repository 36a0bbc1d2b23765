"""Takes the table of jobs over from sessions_app; organisations that own much are closed before they are erased."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("organisations_app", "0004_ids_may_hold_a_tilde"),
        ("sessions_app", "0007_jobs_are_of_every_kind"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="Job",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                        ),
                        ("act", models.CharField(max_length=40)),
                        (
                            "given",
                            models.JSONField(
                                default=dict, help_text="What the act is asked for, such as a policy's id."
                            ),
                        ),
                        ("reason", models.CharField(blank=True, max_length=500)),
                        ("actor", models.CharField(max_length=200)),
                        ("total", models.PositiveIntegerField(default=0)),
                        ("done", models.PositiveIntegerField(default=0)),
                        ("failed", models.PositiveIntegerField(default=0)),
                        (
                            "errors",
                            models.JSONField(default=list, help_text="The first ones, as [id, what went wrong]."),
                        ),
                        ("created_at", models.DateTimeField(auto_now_add=True)),
                        (
                            "claimed_until",
                            models.DateTimeField(
                                help_text="A worker is at it; when this is over, another may.", null=True
                            ),
                        ),
                        ("finished_at", models.DateTimeField(null=True)),
                    ],
                ),
                migrations.AddIndex(
                    model_name="job",
                    index=models.Index(
                        condition=models.Q(("finished_at__isnull", True)), fields=["created_at"], name="key_job_open"
                    ),
                ),
            ]
        ),
        migrations.RenameIndex(model_name="job", old_name="key_job_open", new_name="job_open"),
        migrations.AlterField(
            model_name="job",
            name="total",
            field=models.PositiveIntegerField(help_text="Empty until the first worker has counted.", null=True),
        ),
        migrations.AddField(
            model_name="job",
            name="position",
            field=models.BigIntegerField(default=0, help_text="How far it is, in what the act goes through."),
        ),
        migrations.AddField(
            model_name="organisation",
            name="closed_at",
            field=models.DateTimeField(
                editable=False,
                help_text="It was deleted then: nothing of it works any more, and a job erases what it owned.",
                null=True,
            ),
        ),
    ]
