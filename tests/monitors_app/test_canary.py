"""A raw key goes through everything, and is then in no database column, log line, task or store value (rule 7.6)."""

import json
import logging
from html import unescape

import pytest
from django.apps import apps
from django.db import connection
from django.urls import reverse

from monitors_app import sending, tasks
from monitors_app.models import Attempt, Delivery, Monitor, TriggerEvent
from policies_app.models import Api
from sessions_app import keys
from sessions_app.engine import check
from sessions_app.models import Key, KeyAccess
from sessions_app.store import sync_store
from tests.factories import AcmeFactory, AppFactory
from tests.monitors_app.test_relay import Loader

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.services]
CANARY = 'canary-"quoted\\key-<7> ü'
AUDIT = "/admin/organisations_app/auditentry/"
API = ("events", "deliveries", "deliveries/backlog", "monitors", "keys", "audit")
SPELLINGS = (CANARY, json.dumps(CANARY)[1:-1], json.dumps(CANARY, ensure_ascii=False)[1:-1], "canary-")


def database_values():
    for model in apps.get_models(include_auto_created=True):
        for row in model._default_manager.values():
            yield from (f"{model._meta.label}.{name}: {value}" for name, value in row.items())


def store_values(store):
    for name in store.scan_iter():
        yield f"{name}: {store.dump(name)!r}" if store.type(name) != "stream" else f"{name}: {store.xrange(name)}"


VERBS = {Monitor: ("test", "rotate_secret"), Delivery: ("redeliver_one",)}


def admin_pages(client):
    """Every list of the admin, and every page of what the key left traces in, with those of its verbs."""
    yield from (f"{path}: {unescape(client.get(path).content.decode())}" for path in ("/admin/", AUDIT))
    for model in (Monitor, TriggerEvent, Delivery, Key):
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        pages = [reverse(f"{name}_change", args=[row.pk]) for row in model.objects.all()]
        asking = [page.replace("/change/", f"/{verb}/") for page in pages for verb in VERBS.get(model, ())]
        for path in [reverse(f"{name}_changelist"), *pages, *asking]:
            answer = client.get(path)
            assert answer.status_code == 200, path
            yield f"{path}: {unescape(answer.content.decode())}"


def api_answers(rest):
    """What programs can read of it."""
    yield from (f"{path}: {rest.get(f'/{path}')}" for path in API)
    yield from (f"delivery: {rest.get(f'/deliveries/{row.pk}')}" for row in Delivery.objects.all())


@pytest.fixture
def token(store, monitor):
    app = AppFactory.create(organisation=AcmeFactory.create())
    Api.objects.create(id="echo", organisation=app.organisation, name="Echo", listen_path="/echo/")
    key = Key(
        organisation=app.organisation, application=app, quota_max=2, quota_renewal_rate=60, trigger_limits=[100, 50]
    )
    return keys.create_key(key, access=[KeyAccess(api_id="echo")], token=CANARY)


def test_the_raw_key_is_sent_to_the_receiver_and_found_nowhere_else(
    token, store, receiver, broker, mailoutbox, caplog, admin_client, rest
):
    caplog.set_level(logging.DEBUG)
    receiver.answers = [lambda arrival: (500, {}, b"you sent: " + arrival.body)]
    seen = []
    for _ in range(3):
        check.check(sync_store(), Loader(token))
    seen += store_values(store)
    tasks.relay_all()
    for _ in range(6):
        messages = broker.take("deliveries") + broker.take("mail")
        seen += [str(message) for message in messages]
        for message in messages:
            Delivery.objects.filter(pk=message.args[0], status="pending").update(next_attempt_at="2026-01-01T00:00Z")
            tasks.deliver(*message.args)
            seen += database_values()
            seen += [*admin_pages(admin_client), *api_answers(rest)]
    assert {arrival.document["key"] for arrival in receiver.arrivals} == {CANARY} and len(receiver.arrivals) == 3
    assert Attempt.objects.filter(response_body__contains=sending.HIDDEN).exists(), "the echo was kept, without the key"
    assert Delivery.objects.filter(channel="email", status="delivered").count() == 2
    assert not TriggerEvent.objects.exclude(key_sealed="").exists()
    seen += [*database_values(), *store_values(store), *(str(message.message()) for message in mailoutbox)]
    seen += [str(vars(record)) for record in caplog.records] + [str(query) for query in connection.queries]
    assert len(seen) > 100
    assert [text for text in seen if any(spelling in text for spelling in SPELLINGS)] == []


def test_the_search_would_find_it(token):
    Key.objects.update(alias=f"oops {CANARY}")
    assert any(CANARY in text for text in database_values())
