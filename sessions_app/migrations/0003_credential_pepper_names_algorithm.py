from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0002_usage_day_and_verbs")]

    operations = [
        migrations.AlterField(
            model_name="credential",
            name="pepper",
            field=models.CharField(
                blank=True,
                help_text="Which pepper the digest was made with; then a colon and the algorithm, if it is of another "
                "gateway's hash.",
                max_length=24,
            ),
        ),
    ]
