"""Resources of `/api/v1` that are about telling: monitors, the ledger of events, deliveries and their attempts."""
