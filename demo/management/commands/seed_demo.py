"""`manage.py seed_demo`: the demo data, as often as you like."""

from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone

from demo.credentials import make_keys
from demo.history import make_history
from demo.people import make_acme, make_applications, make_developers, make_staff
from demo.plans import make_api, make_monitor, make_policies, make_session


class Command(BaseCommand):
    help = (
        "Makes the demo data that is missing. What exists is left alone, except addresses on this process's own port."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            acme = make_acme()
            applications = make_applications(acme, make_developers(acme))
            make_staff(acme)
            make_session(acme)
            make_policies(acme, make_api(acme))
            make_monitor()
            make_keys(applications)
            make_history(timezone.now(), ZoneInfo(acme.timezone))
