"""E-mails about thresholds: what they say, what they keep to themselves, and the way out of them."""

import re
import smtplib
from email import message_from_bytes, policy

import pytest
from django.test import Client

from monitors_app import delivery, emails, ledger, notices, preferences, transports
from monitors_app.models import Delivery, EmailPreference, Monitor
from monitors_app.monitors import switch_off
from monitors_app.transports import Email, TransportError
from tests.factories import (
    AcmeFactory,
    AdminFactory,
    KeyFactory,
    MemberFactory,
    MonitorFactory,
    OutsiderFactory,
    PersonFactory,
)
from tests.monitors_app.conftest import RAW_KEY

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broker")]


@pytest.fixture
def sent(crossing, mailoutbox):
    """Records a crossing, delivers its e-mail and returns that as it goes over the wire."""
    MonitorFactory.create()
    KeyFactory.create(id="key_member")
    AdminFactory.create()

    def send(**changes):
        (mail,) = [each for each in ledger.record([crossing(**changes)]) if each.channel == "email"]
        delivery.deliver(mail.pk)
        return message_from_bytes(mailoutbox[-1].message().as_bytes(), policy=policy.default)

    return send


def texts(message):
    return [message.get_body((kind,)).get_content() for kind in ("plain", "html")]


def test_says_used_max_percent_remaining_and_when_it_renews_in_text_and_html(sent):
    message = sent()
    assert message["Subject"] == "80 % of quota used: My key"
    assert message["To"] == "member@example.com"
    for text in texts(message):
        flat = " ".join(re.sub(r"<[^>]+>", " ", text).replace("&nbsp;", " ").split())
        for fact in (
            "8 of 10 requests",
            "80 %",
            "2 requests",
            "2026-09-21 16:14 +02:00 (Europe/Berlin)",
            "tg_…ound",
            "My key",
        ):
            assert fact in flat


def test_the_key_is_masked_everywhere(sent):
    message = sent()
    assert not any(RAW_KEY in text or "canary" in text for text in (str(message), *texts(message)))


@pytest.mark.parametrize(
    ("changes", "subject", "words"),
    [
        (
            {"used": 10, "threshold": "100"},
            "Quota used up: My key",
            "Further requests are refused until the quota renews.",
        ),
        ({"period_end_ms": 0}, "80 % of quota used: My key", "never"),
        (
            {"used": 10, "threshold": "100", "period_end_ms": 0},
            "Quota used up: My key",
            "Further requests are refused.",
        ),
        ({"used": 799, "quota_max": 1000, "threshold": "79.5"}, "79.9 % of quota used: My key", "79.5"),
        ({"kind": "org"}, "80 % of quota used: Acme", "The organisation Acme has used 8 of 10"),
    ],
)
def test_says_what_is_special(changes, subject, words, sent):
    message = sent(**changes)
    assert message["Subject"] == subject
    assert words in texts(message)[0]


def test_the_html_loads_nothing_from_elsewhere_and_knows_dark_mode_and_phones(sent):
    html = texts(sent())[1]
    assert not re.search(r"<(img|script|link|iframe)\b|url\(|@import|src=", html)
    assert "prefers-color-scheme: dark" in html and 'name="color-scheme"' in html and 'name="viewport"' in html


def test_names_cannot_break_headers_or_html(sent):
    message = sent(context={"alias": "<b>evil</b>\r\nBcc: victim@example.com " + "x" * 120})
    assert message["Bcc"] is None and "\n" not in message["Subject"]
    assert "<b>evil" not in texts(message)[1] and "&lt;b&gt;evil" in texts(message)[1]


# --- unsubscribing ----------------------------------------------------------------------------------------------------


def unsubscribe_path(message):
    found = re.fullmatch(r"<http://127\.0\.0\.1:\d+(/portal/unsubscribe/\S+)>", message["List-Unsubscribe"].strip())
    assert found
    return found[1]


def test_a_mail_program_unsubscribes_with_one_post_without_login_or_cookie(sent, settings):
    message = sent()
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    client = Client(enforce_csrf_checks=True)
    answer = client.post(unsubscribe_path(message), {"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200 and not answer.cookies
    assert preferences.thresholds_of(MemberFactory.create()) == "off"


def test_following_the_link_only_asks(sent, client):
    answer = client.get(unsubscribe_path(sent()))
    assert answer.status_code == 200 and b"Stop these e-mails" in answer.content
    assert preferences.thresholds_of(MemberFactory.create()) == "immediate"


def test_who_stopped_them_by_mistake_can_have_them_back(sent, client):
    path = unsubscribe_path(sent())
    assert b"You get no quota e-mails" in client.post(path).content
    assert b"You get no quota e-mails" in client.get(path).content
    client.post(path, {"resume": "1"})
    assert preferences.thresholds_of(MemberFactory.create()) == "immediate"


def test_the_link_in_the_text_is_the_same(sent):
    message = sent()
    assert unsubscribe_path(message) in texts(message)[0] and unsubscribe_path(message) in texts(message)[1]


@pytest.mark.parametrize("change", [lambda token: token[:-1], lambda token: "x" + token, lambda token: "1"])
def test_a_forged_link_changes_nothing(change, sent, client):
    path = unsubscribe_path(sent())
    token = path.rsplit("/", 1)[1]
    assert client.post(path.replace(token, change(token))).status_code == 404
    assert not EmailPreference.objects.exists()


def test_a_link_of_a_developer_who_is_gone_says_so(sent, client):
    path = unsubscribe_path(sent())
    MemberFactory.create().delete()
    assert client.post(path).status_code == 404


def test_a_preference_is_immediate_or_off():
    with pytest.raises(ValueError, match="immediate, off"):
        preferences.set_thresholds(MemberFactory.create(), "weekly")


# --- the mail server --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "permanent", "words"),
    [
        (smtplib.SMTPRecipientsRefused({"a@b.example": (550, b"no such user")}), True, "refused the recipient"),
        (smtplib.SMTPRecipientsRefused({"a@b.example": (451, b"later")}), False, "refused the recipient"),
        (smtplib.SMTPDataError(554, b"no"), False, "554"),
        (smtplib.SMTPServerDisconnected("gone"), False, "mail server"),
        (ConnectionRefusedError(111, "refused"), False, "refused"),
        (TimeoutError("slow"), False, "slow"),
    ],
)
def test_what_the_mail_server_says_decides_whether_it_is_tried_again(error, permanent, words, monkeypatch):
    def fail(self, *args, **kwargs):
        raise error

    monkeypatch.setattr("django.core.mail.EmailMultiAlternatives.send", fail)
    with pytest.raises(TransportError, match=words) as failure:
        transports.send(Email("a@b.example", "S", "T"))
    assert failure.value.permanent is permanent


def test_an_e_mail_that_cannot_be_written_is_not_tried_again():
    with pytest.raises(TransportError) as failure:
        transports.send(Email("a@b.example", "S\nBcc: x@y.example", "T"))
    assert failure.value.permanent


def test_a_recipient_who_is_gone_is_an_error_for_good(crossing):
    with pytest.raises(TransportError, match="gone") as failure:
        emails.email_of(Delivery(channel="email", event=ledger.event_of(crossing())))
    assert failure.value.permanent


# --- the end of a monitor ---------------------------------------------------------------------------------------------


def test_the_owner_of_a_monitor_is_told_of_its_end(mailoutbox):
    AdminFactory.create(), MemberFactory.create(), OutsiderFactory.create()
    PersonFactory.create(username="root", is_superuser=True)
    PersonFactory.create(username="former-root", is_superuser=True, is_active=False)
    for monitor, told in (
        (MonitorFactory.create(name="Ours", organisation=AcmeFactory.create()), "admin-of-acme"),
        (MonitorFactory.create(), "root"),
    ):
        switch_off(monitor.pk, "The receiver answered 410 Gone.")
        mailoutbox.clear()
        assert notices.tell_switched_off(monitor.pk) == 1
        (message,) = mailoutbox
        assert message.to == [f"{told}@example.com"] and "410 Gone" in message.body and monitor.name in message.subject


def test_nobody_is_told_of_a_monitor_that_is_on_again(mailoutbox):
    assert notices.tell_switched_off(MonitorFactory.create().pk) == 0 and Monitor.objects.get().is_enabled
