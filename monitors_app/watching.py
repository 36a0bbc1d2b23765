"""Which monitors want to hear about what: asked for each grant, and again for each event (rules 7.2, 7.5)."""

from django.db.models import Q

from monitors_app.models import Monitor, TriggerEvent
from policies_app.limits import threshold_label
from sessions_app.watch import Watch

# The switch of a monitor that gates each kind of event.
SWITCHES = {TriggerEvent.Kind.KEY.value: "monitor_user_keys", TriggerEvent.Kind.ORGANISATION.value: "monitor_org_keys"}


def watch_of(organisation_id: str, kind: str) -> Watch:
    """Whether any monitor watches this organisation's keys ("key") or itself ("org"), and the global thresholds of
    those that do.
    """
    covering = Q(organisation=None) | Q(organisation=organisation_id)
    watching = Monitor.objects.filter(covering, is_enabled=True, **{SWITCHES[kind]: True})
    global_limits = list(watching.values_list("global_trigger_limit", flat=True))
    return Watch(
        enabled=bool(global_limits), global_limits=tuple(sorted({limit for limit in global_limits if limit > 0}))
    )


def wants(monitor: Monitor, event: TriggerEvent) -> bool:
    """Whether this monitor is told of this event: the subject's own threshold, or the monitor's global one."""
    watches = monitor.is_enabled and getattr(monitor, SWITCHES[event.kind])
    covers = monitor.organisation_id in (None, event.organisation_id)
    return bool(
        watches and covers and (event.is_own or threshold_label(monitor.global_trigger_limit) == event.threshold)
    )
