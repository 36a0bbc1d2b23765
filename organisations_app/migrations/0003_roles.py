from django.contrib.auth.management import create_permissions
from django.db import migrations

from organisations_app.roles import APPS, make_roles


def make(apps, schema_editor):
    """Django makes permissions only after all migrations; groups need them now."""
    for label in ("auth", *APPS):
        config = apps.get_app_config(label)
        config.models_module = True  # of historical models, which `create_permissions` would leave out
        create_permissions(config, apps=apps, verbosity=0)
        config.models_module = None
    make_roles(apps.get_model("auth", "Group"), apps.get_model("auth", "Permission"))


class Migration(migrations.Migration):
    dependencies = [
        ("organisations_app", "0002_staff_confinement"),
        ("policies_app", "0001_initial"),
        ("sessions_app", "0002_usage_day_and_verbs"),
        ("monitors_app", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
