"""The items of a job are read from where it is, never from its beginning."""

from django.db import migrations, models
from django.db.models.deletion import CASCADE


class Migration(migrations.Migration):
    dependencies = [
        ("sessions_app", "0007_jobs_are_of_every_kind"),
        ("organisations_app", "0005_jobs_and_closed_organisations"),
    ]

    operations = [
        migrations.AlterField(
            model_name="keyjobitem",
            name="job",
            field=models.ForeignKey(
                db_index=False, on_delete=CASCADE, related_name="items", to="organisations_app.job"
            ),
        ),
        migrations.AddIndex(
            model_name="keyjobitem", index=models.Index(fields=["job", "id"], name="key_job_item_in_order")
        ),
        migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel("KeyJob")]),
    ]
