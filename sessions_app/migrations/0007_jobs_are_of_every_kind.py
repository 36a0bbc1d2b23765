"""Jobs are no longer of keys alone: their table goes to organisations_app, with what it holds."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0006_key_list_indices")]

    operations = [migrations.AlterModelTable("keyjob", "organisations_app_job")]
