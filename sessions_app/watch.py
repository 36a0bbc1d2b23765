"""Whether somebody wants to hear about an organisation's thresholds. Asked when a grant is compiled.

Who is told lives in a higher layer, which `settings.GATEWAY_WATCH` names: this is what it answers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import cast

from django.conf import settings
from django.utils.module_loading import import_string


@dataclass(frozen=True, slots=True)
class Watch:
    """`global_limits` are percentages that apply to every subject of that kind (rule 7.2)."""

    enabled: bool
    global_limits: tuple[float, ...] = ()


WatchOf = Callable[[str, str], Watch]


@cache
def watcher() -> WatchOf:
    """`(organisation_id, "key" | "org") -> Watch`."""
    return cast(WatchOf, import_string(settings.GATEWAY_WATCH))
