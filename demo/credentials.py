"""The demo's keys. Free and Pro stay usable from one start to the next: their raw values stand in `var/demo.json`."""

import json
import os
from pathlib import Path
from typing import Any

from django.conf import settings

from demo.plans import FREE_ID, PRO_ID
from organisations_app.models import Application
from sessions_app.keys import create_key, revoke_key, rotate_key
from sessions_app.models import Key, new_key_id
from sessions_app.tokens import new_token

FREE_KEY_ID = "key_demoFree"
PRO_KEY_ID = "key_demoPro"
MOBILE_KEY_ID = "key_demoMobile"
EXPORT_KEY_ID = "key_demoExport"
OLD_KEY_ID = "key_demoOld"


def demo_file() -> Path:
    path: Path = settings.GATEWAY_VAR_DIR / "demo.json"
    return path


def make_keys(applications: dict[str, Application]) -> None:
    """Makes the keys that are missing, and writes down the raw values of Free and Pro for their owner's eyes only."""
    kept = _read()
    acme = applications["Storefront"].organisation
    storefront, mobile, office = (applications[name] for name in ("Storefront", "Mobile app", "Back office"))
    shared = {"DeveloperID": "dev-7"}  # Storefront and Mobile app are one developer's: on Pro they share a counter
    free = Key(pk=FREE_KEY_ID, organisation=acme, application=storefront, alias="Storefront, free plan")
    pro = Key(pk=PRO_KEY_ID, organisation=acme, application=storefront, alias="Storefront, live", meta_data=shared)
    known = {
        "free_key": kept.get("free_key") or _known_secret(free),
        "pro_key": kept.get("pro_key") or _known_secret(pro),
    }
    _make(free, FREE_ID, known["free_key"])
    _make(pro, PRO_ID, known["pro_key"])
    _make(
        Key(pk=MOBILE_KEY_ID, organisation=acme, application=mobile, alias="Mobile app, live", meta_data=shared), PRO_ID
    )
    _make(
        Key(
            pk=EXPORT_KEY_ID,
            organisation=acme,
            application=office,
            alias="Nightly export",
            meta_data={"DeveloperID": "dev-1"},
        ),
        PRO_ID,
    )
    old = Key(pk=OLD_KEY_ID, organisation=acme, application=storefront, alias="Storefront, before the move")
    if _make(old, FREE_ID):
        revoke_key(old)
    _write({**known, "port": settings.GATEWAY_PORT})


def _known_secret(key: Key) -> str:
    """A secret of this key that we know, when the file is lost: the old one is replaced. A revoked key stays so."""
    stored = Key.objects.filter(pk=key.pk).first()
    if stored is None:
        return new_token()
    if stored.revoked_at is None:
        return rotate_key(stored)
    key.pk = new_key_id()
    return new_token()


def _make(key: Key, policy: str, token: str | None = None) -> bool:
    """True if the key was missing and is made now."""
    if Key.objects.filter(pk=key.pk).exists():
        return False
    create_key(key, policies=[policy], token=token)
    return True


def _read() -> dict[str, str]:
    try:
        kept: dict[str, str] = json.loads(demo_file().read_text())
    except (OSError, ValueError):
        return {}
    return kept


def _write(kept: dict[str, Any]) -> None:
    path = demo_file()
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(kept, file, indent=2)
    draft.rename(path)
