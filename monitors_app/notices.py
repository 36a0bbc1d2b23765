"""Telling the owner of a monitor that it was switched off (rule 7.10): the organisation's admins, or the gateway's.

A notice is a delivery like any other: retried by itself, recorded, sent to each owner once.
"""

from functools import partial

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from monitors_app.models import Delivery, Monitor
from monitors_app.wakeups import wake
from organisations_app.models import Developer

SUBJECT = "monitor"


def announce_end(monitor_id: int) -> list[Delivery]:
    """Writes a notice to each owner; call it in the transaction that switches the monitor off."""
    monitor, now = Monitor.objects.get(pk=monitor_id), timezone.now()
    notices = Delivery.objects.bulk_create(
        Delivery(
            channel=Delivery.Channel.EMAIL, monitor=monitor, recipient=address, subject=SUBJECT, next_attempt_at=now
        )
        for address in owner_addresses(monitor)
    )
    for notice in notices:
        transaction.on_commit(partial(wake, notice.pk, notice.channel))
    return notices


def owner_addresses(monitor: Monitor) -> list[str]:
    """Admins of the monitor's organisation; for a monitor of all organisations, the gateway's superusers."""
    users = get_user_model().objects.filter(is_active=True).exclude(email="")
    if monitor.organisation_id:
        users = users.filter(developer__organisation=monitor.organisation_id, developer__role=Developer.Role.ADMIN)
    else:
        users = users.filter(is_superuser=True)
    return sorted(set(users.values_list("email", flat=True)))
