"""E-mails about thresholds: what they say, what they keep to themselves, and the way out of them."""

import re
import smtplib
from datetime import datetime, time, timedelta
from email import message_from_bytes, policy
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from monitors_app import claims, delivery, emails, ledger, preferences, transports
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


def test_a_preference_is_one_of_three():
    with pytest.raises(ValueError, match="immediate, digest, off"):
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


# --- the daily digest -------------------------------------------------------------------------------------------------

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("now", "at", "zone", "expected"),
    [
        ("2026-06-10T05:59:00+00:00", time(8), BERLIN, "2026-06-10T06:00:00+00:00"),
        ("2026-06-10T06:00:00+00:00", time(8), BERLIN, "2026-06-11T06:00:00+00:00"),
        ("2026-12-10T06:30:00+00:00", time(8), BERLIN, "2026-12-10T07:00:00+00:00"),
        ("2026-03-28T12:00:00+00:00", time(2, 30), BERLIN, "2026-03-29T01:30:00+00:00"),
        ("2026-10-24T12:00:00+00:00", time(2, 30), BERLIN, "2026-10-25T00:30:00+00:00"),
        ("2026-06-10T23:30:00+00:00", time(0), ZoneInfo("Pacific/Kiritimati"), "2026-06-11T10:00:00+00:00"),
    ],
    ids=["today", "not twice", "winter", "gap of summer time", "doubled hour: the first", "far east"],
)
def test_the_next_digest_is_at_this_time_of_the_organisations_zone(now, at, zone, expected):
    assert preferences.next_digest(datetime.fromisoformat(now), at, zone) == datetime.fromisoformat(expected)


@pytest.fixture
def digest(crossing):
    """Three events recorded for a member who wants a digest; their e-mails."""
    MonitorFactory.create()
    member = KeyFactory.create(id="key_member").application.developer
    preferences.set_thresholds(member, "digest", time(7, 30))
    return ledger.record([crossing(threshold=label, used=int(label) // 10) for label in ("50", "80", "90")])


def make_due():
    Delivery.objects.filter(status="pending").update(next_attempt_at=timezone.now())


def test_a_digest_waits_for_its_time(digest, mailoutbox):
    for mail in digest:
        assert mail.in_digest and mail.next_attempt_at > timezone.now()
        assert f"{mail.next_attempt_at.astimezone(BERLIN):%H:%M}" == "07:30"
        delivery.deliver(mail.pk)
    assert mailoutbox == []


def test_all_that_is_due_goes_out_in_one_e_mail_whoever_is_woken(digest, mailoutbox):
    make_due()
    for mail in reversed(digest):
        delivery.deliver(mail.pk)
    (message,) = mailoutbox
    assert message.subject == "3 quota thresholds reached: Acme"
    for text in texts(message_from_bytes(message.message().as_bytes(), policy=policy.default)):
        assert all(f"{label} %" in text.replace("&nbsp;", " ") for label in (50, 80, 90)) and "Europe/Berlin" in text
        assert RAW_KEY not in text and "canary" not in text
    assert message.extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert set(Delivery.objects.values_list("status", "attempt_count")) == {("delivered", 1)}


def test_a_long_digest_says_how_many_more_and_where_to_look(digest, mailoutbox, monkeypatch):
    monkeypatch.setattr(emails, "LONGEST_DIGEST", 1)
    make_due()
    delivery.deliver(digest[0].pk)
    (message,) = mailoutbox
    assert message.subject == "3 quota thresholds reached: Acme"
    for text in texts(message_from_bytes(message.message().as_bytes(), policy=policy.default)):
        assert "and 2 more" in text and "/portal/" in text and "9 of" not in text
    assert set(Delivery.objects.values_list("status", flat=True)) == {"delivered"}


def test_a_digest_can_be_stopped_with_one_post_too(digest, mailoutbox):
    make_due()
    delivery.deliver(digest[0].pk)
    message = message_from_bytes(mailoutbox[0].message().as_bytes(), policy=policy.default)
    answer = Client(enforce_csrf_checks=True).post(unsubscribe_path(message), {"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200 and preferences.thresholds_of(MemberFactory.create()) == "off"


def test_a_digest_that_the_server_does_not_take_stays_together(digest, mailoutbox, monkeypatch):
    make_due()
    with monkeypatch.context() as patch:
        patch.setattr(transports, "_send_email", lambda email: (_ for _ in ()).throw(TransportError("later")))
        delivery.deliver(digest[0].pk)
    assert len(set(Delivery.objects.values_list("status", "next_attempt_at"))) == 1
    make_due()
    delivery.deliver(digest[0].pk)
    assert len(mailoutbox) == 1 and set(Delivery.objects.values_list("status", flat=True)) == {"delivered"}


def test_a_worker_that_died_with_a_digest_loses_none_of_it(digest, mailoutbox):
    make_due()
    now = timezone.now()
    assert len(claims.claim_email(digest[0].pk, now)) == 3
    assert claims.claim_email(digest[1].pk, now) == []
    later = now + claims.MAIL_LEASE + timedelta(seconds=1)
    assert [pk for pk, _ in claims.take_due(later)] == [digest[0].pk]
    make_due()
    delivery.deliver(digest[0].pk)
    assert len(mailoutbox) == 1 and set(Delivery.objects.values_list("status", flat=True)) == {"delivered"}


def test_changing_ones_mind_moves_what_waits(digest, mailoutbox):
    member = MemberFactory.create()
    preferences.set_thresholds(member, "digest", time(9))
    assert {f"{mail.next_attempt_at.astimezone(BERLIN):%H:%M}" for mail in Delivery.objects.all()} == {"09:00"}
    preferences.set_thresholds(member, "immediate")
    delivery.deliver(digest[0].pk)
    assert len(mailoutbox) == 1


def test_who_stops_e_mails_gets_no_digest_either(digest, mailoutbox):
    preferences.set_thresholds(MemberFactory.create(), "off")
    make_due()
    for mail in digest:
        delivery.deliver(mail.pk)
    assert mailoutbox == [] and set(Delivery.objects.values_list("status", flat=True)) == {"cancelled"}


# --- bounces ----------------------------------------------------------------------------------------------------------


def test_an_address_that_was_refused_for_good_is_left_alone_until_it_changes(crossing, mailoutbox, monkeypatch):
    MonitorFactory.create()
    member = KeyFactory.create(id="key_member").application.developer
    (mail,) = ledger.record([crossing()])
    refusal = TransportError("refused", permanent=True, answer=transports.Answer(status_code=550))
    with monkeypatch.context() as patch:
        patch.setattr(transports, "_send_email", lambda email: (_ for _ in ()).throw(refusal))
        delivery.deliver(mail.pk)
    assert Delivery.objects.get().status == "failed"
    assert ledger.record([crossing(threshold="90")]) == []
    User.objects.filter(pk=member.user_id).update(email="new@example.com")
    (mail,) = ledger.record([crossing(threshold="95")])
    delivery.deliver(mail.pk)
    assert mailoutbox[0].to == ["new@example.com"]


def test_who_chooses_again_is_mailed_again(crossing):
    MonitorFactory.create()
    member = KeyFactory.create(id="key_member").application.developer
    preferences.refuse_address(member, member.user.email)
    assert ledger.record([crossing()]) == []
    preferences.set_thresholds(member, "immediate")
    assert len(ledger.record([crossing(threshold="90")])) == 1


# --- the end of a monitor ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "told"), [(True, "admin-of-acme"), (False, "root")])
def test_the_owner_of_a_monitor_is_told_of_its_end(ours, told, mailoutbox, broker, django_capture_on_commit_callbacks):
    AdminFactory.create(), MemberFactory.create(), OutsiderFactory.create()
    PersonFactory.create(username="root", is_superuser=True)
    PersonFactory.create(username="former-root", is_superuser=True, is_active=False)
    monitor = MonitorFactory.create(name="Ours", organisation=AcmeFactory.create() if ours else None)
    with django_capture_on_commit_callbacks(execute=True):
        switch_off(monitor.pk, "The receiver answered 410 Gone.")
    for message in broker.take("mail"):
        delivery.deliver(*message.args)
    (message,) = mailoutbox
    assert message.to == [f"{told}@example.com"] and monitor.name in message.subject
    for text in texts(message_from_bytes(message.message().as_bytes(), policy=policy.default)):
        assert "410 Gone" in text and "/admin/" in text and "unsubscribe" not in text


def test_each_owner_is_told_once_even_if_another_ones_mail_fails(mailoutbox, monkeypatch):
    for name in ("one", "two"):
        PersonFactory.create(username=name, is_superuser=True)
    switch_off(MonitorFactory.create().pk, "The receiver answered 410 Gone.")
    one, two = Delivery.objects.order_by("recipient")
    with monkeypatch.context() as patch:
        patch.setattr(transports, "_send_email", lambda email: (_ for _ in ()).throw(TransportError("later")))
        delivery.deliver(one.pk)
    delivery.deliver(two.pk)
    make_due()
    for notice in (one, two):
        delivery.deliver(notice.pk)
    assert [message.to for message in mailoutbox] == [["two@example.com"], ["one@example.com"]]
    assert Monitor.objects.get().failures_in_row == 0, "a mail server's failures are not the receiver's"


def test_nobody_is_told_of_a_monitor_that_is_on_again(mailoutbox):
    PersonFactory.create(is_superuser=True)
    monitor = MonitorFactory.create()
    switch_off(monitor.pk, "The receiver answered 410 Gone.")
    Monitor.objects.update(is_enabled=True)
    delivery.deliver(Delivery.objects.get().pk)
    assert mailoutbox == [] and Delivery.objects.get().status == "cancelled"
