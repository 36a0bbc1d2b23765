"""What lists of keys are filtered by, in the order in which they are shown."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0005_alias_trigrams")]

    operations = [
        migrations.AddIndex(
            model_name="key",
            index=models.Index(fields=["application", "-created_at", "id"], name="key_newest_of_application"),
        ),
        migrations.AddIndex(
            model_name="key",
            index=models.Index(
                fields=["-created_at", "id"], condition=models.Q(("is_inactive", True)), name="key_inactive"
            ),
        ),
        migrations.AddIndex(
            model_name="key",
            index=models.Index(
                fields=["-created_at", "id"], condition=models.Q(("revoked_at__isnull", False)), name="key_revoked"
            ),
        ),
    ]
