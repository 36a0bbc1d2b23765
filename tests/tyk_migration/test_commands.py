"""`manage.py import_tyk` and `export_tyk` as people call them: what they print and how they end."""

import errno
import io
import json

import pytest
from django.core.management import CommandError, call_command

from organisations_app.models import Organisation
from policies_app.models import Api
from tests.tyk_migration.conftest import API, POLICY, SESSION
from tyk_migration import exporting

pytestmark = pytest.mark.django_db(transaction=True)


def imported(*arguments) -> str:
    out = io.StringIO()
    call_command("import_tyk", *map(str, arguments), stdout=out)
    return out.getvalue()


def test_the_report_is_for_people(desk):
    text = imported("--apis", desk.file("api.json", API), "--policies", desk.file("p.json", {"gold": POLICY}))
    assert text.startswith("Import from Tyk\n  apis: 1 created\n  policies: 1 created\n")
    assert "apis, version_data (1): versions and paths are not told apart; first orders" in text
    assert "1 organisations were made: acme" in text


def test_a_second_run_says_that_everything_was_unchanged(desk):
    file = desk.file("api.json", API)
    imported("--apis", file)
    assert "apis: 1 unchanged" in imported("--apis", file) and "Everything was unchanged." in imported("--apis", file)


def test_the_report_is_for_programs_too(desk):
    report = json.loads(imported("--apis", desk.file("api.json", API), "--report", "json", "--dry-run"))
    assert report["dry_run"] and report["kinds"]["apis"]["created"] == 1
    assert not Api.objects.exists()


def test_refused_rows_end_with_1_after_the_report(orders, capsys):
    rows = [{"key": "raw-key", "session": SESSION}, {"key": "bad-key", "session": SESSION | {"rate": "x"}}]
    out = io.StringIO()
    with pytest.raises(CommandError, match="1 rows were refused") as error:
        call_command("import_tyk", "--keys", str(orders.lines("keys.jsonl", rows)), stdout=out)
    assert error.value.returncode == 1
    assert f"{orders.folder}/keys.jsonl:2 at /rate: keys …ey: must be a number" in out.getvalue()
    assert capsys.readouterr().err == ""  # no progress bar where nobody looks


def test_a_file_that_cannot_be_read_ends_with_2_and_changes_nothing(desk):
    conf = desk.file("tyk.conf", '{"listen_port": LISTEN_PORT}')
    with pytest.raises(CommandError, match=r"Nothing was changed:\n.*tyk.conf: no JSON at line 1 column 17") as error:
        imported("--conf", conf, "--apis", desk.file("api.json", API))
    assert error.value.returncode == 2 and not Organisation.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give at least one of --conf"),
        (["--counters", "c.jsonl"], "needs --keys or --orgs"),
        (["--keys", "nowhere.jsonl"], "nowhere.jsonl: is no file"),
        (["--apis", "nowhere"], "nowhere: does not exist"),
        (["--conf", "nowhere.conf"], "nowhere.conf: No such file"),
        (["--keys", "k.jsonl", "--hashed", "md5"], "invalid choice"),
        (["--keys", "k.jsonl", "--organisation", "no id"], "--organisation: An id is"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(arguments, words):
    with pytest.raises(CommandError, match=words):
        imported(*arguments)


def test_an_export_never_mixes_with_another(orders, tmp_path):
    call_command("export_tyk", "--out", str(tmp_path / "out"), stdout=io.StringIO())
    with pytest.raises(CommandError, match="is not empty"):
        call_command("export_tyk", "--out", str(tmp_path / "out"))


def test_an_export_that_fails_halfway_leaves_nothing_behind(orders, tmp_path, monkeypatch):
    def is_full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(exporting, "key_rows", is_full)
    out = tmp_path / "out"
    with pytest.raises(CommandError, match="No space left on device"):
        call_command("export_tyk", "--out", str(out))
    assert list(out.iterdir()) == []
    monkeypatch.undo()
    call_command("export_tyk", "--out", str(out), stdout=io.StringIO())
    assert {file.name for file in out.iterdir()} == {"tyk.conf", "apis", "policies.json", "orgs.jsonl", "keys.jsonl"}


def test_an_export_of_nobody_is_refused(tmp_path):
    with pytest.raises(CommandError, match="no organisation 'nobody'"):
        call_command("export_tyk", "--out", str(tmp_path / "out"), "--organisation", "nobody")


def test_an_export_says_what_it_wrote_and_with_which_pepper(orders, tmp_path):
    out = io.StringIO()
    call_command("export_tyk", "--out", str(tmp_path / "out"), stdout=out)
    assert "apis: 1\npolicies: 1\norganisations: 0\nkeys: 0\n" in out.getvalue() and "its mark is" in out.getvalue()
