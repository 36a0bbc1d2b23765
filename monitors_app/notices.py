"""Telling the owner of a monitor that it was switched off (rule 7.10): the organisation's admins, or the gateway's."""

from django.contrib.auth import get_user_model

from monitors_app import transports
from monitors_app.emails import notice_of
from monitors_app.models import Monitor
from organisations_app.models import Developer


def tell_switched_off(monitor_id: int) -> int:
    """Sends one e-mail to each owner; returns how many were sent. Raises TransportError if one could not be sent."""
    monitor = Monitor.objects.filter(pk=monitor_id, is_enabled=False).first()
    if monitor is None:
        return 0
    letters = [notice_of(monitor, address) for address in owner_addresses(monitor)]
    for letter in letters:
        transports.send(letter)
    return len(letters)


def owner_addresses(monitor: Monitor) -> list[str]:
    """Admins of the monitor's organisation; for a monitor of all organisations, the gateway's superusers."""
    users = get_user_model().objects.filter(is_active=True).exclude(email="")
    if monitor.organisation_id:
        users = users.filter(developer__organisation=monitor.organisation_id, developer__role=Developer.Role.ADMIN)
    else:
        users = users.filter(is_superuser=True)
    return sorted(set(users.values_list("email", flat=True)))
