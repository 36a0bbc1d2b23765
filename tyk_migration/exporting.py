"""Export in the shapes that `import_tyk` takes: exporting, importing into an empty gateway and exporting again gives
the same bytes.

Members stand in alphabetical order, because a database may not keep any other. What is computed or answered only
(usage, dates) is left out. Raw keys are known to nobody: a key carries its digest, which opens it in any gateway with
the same pepper.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from urllib.parse import quote

from django.db.models import Model, QuerySet

from monitors_app.models import Monitor
from monitors_app.monitors import gateway_monitor, header_map
from monitors_app.tyk import monitor_to_tyk
from organisations_app.sealing import SealBroken, unseal
from organisations_app.tenancy import within
from policies_app.models import AccessRightFields, Api, Policy
from policies_app.tyk import api_to_tyk, policy_to_tyk, right_to_tyk
from sessions_app.models import Credential, Key, KeyAccess, OrgSession
from sessions_app.queries import living_credentials
from sessions_app.terms import rights_and_policies
from sessions_app.tyk import ANSWERED_ONLY, org_session_to_tyk, stored_key
from tyk_migration.names import OWN

LOT = 1_000
Row = TypeVar("Row", bound=Model)


def export(folder: Path, organisation_id: str | None = None, *, with_secrets: bool = False) -> dict[str, int]:
    """Writes tyk.conf, apis/, policies.json, keys.jsonl and orgs.jsonl, all of them or none; returns how many of each.

    The monitor belongs to the whole gateway: it is left out of one organisation's export. What an organisation owned
    that is being deleted is left out, too. `with_secrets` writes header values and the signing secret in clear.
    Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".unfinished-", dir=folder) as name:
        counts = _write_all(Path(name), organisation_id, with_secrets)
        for written in Path(name).iterdir():
            written.rename(folder / written.name)
    return counts


def _write_all(folder: Path, organisation_id: str | None, with_secrets: bool) -> dict[str, int]:
    (folder / "apis").mkdir()
    counts = {} if organisation_id else {"monitor": _write(folder / "tyk.conf", configuration(with_secrets))}
    apis = _living(Api.objects.order_by("pk"), organisation_id)
    counts["apis"] = sum(_write(folder / "apis" / f"{quote(api.pk, safe='')}.json", api_to_tyk(api)) for api in apis)
    policies = _living(Policy.objects.order_by("pk").prefetch_related("access"), organisation_id)
    documents = {policy.pk: _policy(policy) for policy in policies}
    _write(folder / "policies.json", documents)
    counts["policies"] = len(documents)
    sessions = _living(OrgSession.objects.order_by("organisation"), organisation_id)
    counts["organisations"] = _write_lines(folder / "orgs.jsonl", map(_organisation, sessions.iterator()))
    keys = _living(Key.objects.filter(revoked_at__isnull=True).order_by("pk"), organisation_id)
    counts["keys"] = _write_lines(folder / "keys.jsonl", key_rows(keys))
    return counts


def _living(rows: QuerySet[Row], organisation_id: str | None) -> QuerySet[Row]:
    """Of this organisation, or of all that are not being deleted."""
    return within(rows.filter(organisation__closed_at=None), organisation_id, "organisation")


def _write(file: Path, document: Any) -> int:
    file.write_text(_text(document, indent=2) + "\n", encoding="utf-8")
    return 1


def _write_lines(file: Path, documents: Iterable[Any]) -> int:
    with file.open("w", encoding="utf-8", newline="\n") as lines:
        return sum(1 for document in documents if lines.write(_text(document) + "\n"))


def _text(document: Any, indent: int | None = None) -> str:
    return json.dumps(document, ensure_ascii=False, sort_keys=True, indent=indent)


# --- documents --------------------------------------------------------------------------------------------------------


def configuration(with_secrets: bool) -> dict[str, Any]:
    """tyk.conf, as far as it is the database's: the rest is set by the environment."""
    monitor = gateway_monitor()
    section = monitor_to_tyk(monitor)
    section = {name: value for name, value in section.items() if name not in ("disabled_reason", "signing_secret")}
    if with_secrets:
        section["signing_secret"] = _unsealed(monitor.signing_secret_sealed)
        section["configuration"] = {**section["configuration"], "header_map": _headers(monitor)}
    return {"enforce_org_quotas": True, "monitor": section}


def _headers(monitor: Monitor) -> dict[str, str]:
    try:
        return header_map(monitor)
    except SealBroken:
        return {}


def _unsealed(sealed: str) -> str:
    try:
        return unseal(sealed)
    except SealBroken:
        return ""


def _policy(policy: Policy) -> dict[str, Any]:
    rights = policy.access.all()
    return {**policy_to_tyk(policy, rights), "access_rights": _rights(rights)}


def _rights(access: Iterable[AccessRightFields]) -> dict[str, dict[str, Any]]:
    """Without what was only put in to be looked at: names of APIs, and limits that are none."""
    return {
        right.api_id: {
            name: value
            for name, value in right_to_tyk(right, {}).items()
            if name in right.extra or (value if name in ("api_name", "limit") else True)
        }
        for right in access
    }


def _organisation(session: OrgSession) -> dict[str, Any]:
    return {"key": f"orgkey.{session.organisation_id}", "session": _stored(org_session_to_tyk(session))}


def _stored(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in ANSWERED_ONLY}


def key_rows(keys: QuerySet[Key]) -> Iterator[dict[str, Any]]:
    """A line for each key that a secret opens, in four queries for each lot."""
    for lot in _lots(keys):
        access, applied = rights_and_policies(lot)
        credentials: defaultdict[str, list[Credential]] = defaultdict(list)
        for credential in living_credentials().filter(key__in=lot):
            credentials[credential.key_id].append(credential)
        for key in lot:
            if several := sorted(credentials[key.pk], key=_longest_first):
                yield _key(key, access[key.pk], applied[key.pk], several)


def _longest_first(credential: Credential) -> tuple[float, str]:
    """By what is exported, so that the order comes back, too."""
    return -credential.expires_at.timestamp() if credential.expires_at else -math.inf, credential.digest


def _lots(keys: QuerySet[Key]) -> Iterator[Sequence[Key]]:
    rows = keys.iterator(chunk_size=LOT)
    while lot := list(islice(rows, LOT)):
        yield lot


def _key(
    key: Key, access: Sequence[KeyAccess], policies: Sequence[str], credentials: Sequence[Credential]
) -> dict[str, Any]:
    first, *others = credentials
    session = {**_stored(stored_key(key, access, policies, {})), "access_rights": _rights(access)}
    row = {**_secret(first), "algorithm": OWN, "key_id": key.pk, "session": session}
    return row | ({"other_credentials": [_secret(other) | {"algorithm": OWN} for other in others]} if others else {})


def _secret(credential: Credential) -> dict[str, Any]:
    ends = credential.expires_at
    return {
        "key_hash": credential.digest,
        "pepper": credential.pepper,
        "hint": credential.hint,
        **({"expires_at": ends.timestamp()} if ends else {}),
    }


def is_empty(folder: Path) -> bool:
    """Whether an export would overwrite nothing."""
    return not folder.exists() or not any(folder.iterdir())
