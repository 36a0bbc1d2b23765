"""Admin of monitors, the ledger of threshold events, and deliveries with their attempts."""

from monitors_app.admin.deliveries import DeliveryAdmin
from monitors_app.admin.events import TriggerEventAdmin
from monitors_app.admin.monitors import MonitorAdmin

__all__ = ["DeliveryAdmin", "MonitorAdmin", "TriggerEventAdmin"]
