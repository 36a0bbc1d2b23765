"""The shapes in which Tyk's data comes, and the place of each row."""

import json

import pytest

from tyk_migration.sources import Row, SourceError, api_rows, named_rows, policy_rows, read_ahead, read_document

SESSION = {"org_id": "acme", "rate": 5}


def read(rows):
    return [(row.name, row.content) if isinstance(row, Row) else str(row) for row in rows]


@pytest.mark.parametrize(
    "text",
    [
        '{"key": "k1", "session": {"org_id": "acme", "rate": 5}}\n',
        '{"id": "k1", "org_id": "acme", "rate": 5}\n',
        '{"key_hash": "k1", "session": {"org_id": "acme", "rate": 5}}',
        '{"k1": {"org_id": "acme", "rate": 5}}\n',
        '{"key": "k1", "value": "{\\"org_id\\": \\"acme\\", \\"rate\\": 5}", "ttl": -1}\n',
        '[{"key": "k1", "session": {"org_id": "acme", "rate": 5}}]',
        '{\n "k1": {\n  "org_id": "acme", "rate": 5}\n}\n',
        '{"keys": [{"key": "k1", "session": {"org_id": "acme", "rate": 5}}]}',
        '\ufeff{"key": "k1", "session": {"org_id": "acme", "rate": 5}}\n',
        '\n\n{"key": "k1", "session": {"org_id": "acme", "rate": 5}}\n\n',
    ],
)
def test_a_key_comes_in_many_shapes(desk, text):
    assert read(named_rows(desk.file("keys", text))) == [("k1", SESSION)]


def test_an_object_of_keys_may_be_one_line_or_many(desk):
    document = {"a": SESSION, "b": SESSION}
    expected = [("a", SESSION), ("b", SESSION)]
    assert read(named_rows(desk.file("one", json.dumps(document)))) == expected
    assert read(named_rows(desk.file("many", json.dumps(document, indent=2)))) == expected


def test_a_bad_line_names_its_place_and_stops_nobody(desk):
    file = desk.file("keys.jsonl", '{"key": "a", "session": {}}\n{"key": \n[1]\n{"key": "b", "session": {}}\n')
    assert read(named_rows(file)) == [
        ("a", {}),
        f"{file}:2: no JSON at line 1 column 8: Expecting value",
        f"{file}:3#/0: must be a JSON object, not 1",
        ("b", {}),
    ]


def test_a_document_that_is_no_json_names_line_and_column(desk):
    file = desk.file("tyk.conf", '{\n  "listen_port": LISTEN_PORT\n}')
    with pytest.raises(SourceError, match=rf"{file}: no JSON at line 2 column 18: Expecting value"):
        read_document(file)


def test_lines_are_streamed(desk, monkeypatch):
    file = desk.lines("keys.jsonl", [{"key": f"k{number}", "session": {}} for number in range(1000)])
    rows = named_rows(file)
    assert next(rows).name == "k0"
    with file.open("a") as more:
        more.write('{"key": "late", "session": {}}\n')
    assert [row.name for row in rows][-1] == "late"


@pytest.mark.parametrize(
    ("document", "places"),
    [
        ({"gold": {"rate": 1}}, ["#/gold"]),
        ([{"id": "gold", "rate": 1}], ["#/0"]),
        ({"id": "gold", "rate": 1}, [""]),
        ({"Data": [{"_id": "gold", "rate": 1}], "Pages": 1}, ["#/Data/0"]),
        ({"a/b": {"rate": 1}}, ["#/a~1b"]),
    ],
)
def test_policies_come_in_many_shapes(desk, document, places):
    file = desk.file("policies.json", document)
    assert [row.place for row in policy_rows(file)] == [f"{file}{place}" for place in places]


def test_a_folder_is_read_file_by_file(desk):
    desk.file("apis/b.json", {"api_id": "b"})
    desk.file("apis/a.json", [{"api_id": "a1"}, {"api_definition": {"api_id": "a2"}}])
    desk.file("apis/README.txt", "no definition")
    rows = list(api_rows(desk.folder / "apis"))
    assert [row.content["api_id"] for row in rows] == ["a1", "a2", "b"]
    assert rows[1].place.endswith("a.json#/1/api_definition")


# --- reading ahead ----------------------------------------------------------------------------------------------------


def test_rows_are_read_ahead_in_order_and_only_one_lot_of_them():
    read = []

    def rows():
        for number in range(10):
            read.append(number)
            yield number

    ahead = read_ahead(rows(), 3)
    assert next(ahead) == 0 and len(read) <= 6
    assert list(ahead) == list(range(1, 10))


def test_what_a_reader_raises_arrives_where_it_is_read():
    def rows():
        yield 1
        raise SourceError("keys.jsonl", "is gone")

    with pytest.raises(SourceError, match="is gone"):
        list(read_ahead(rows(), 3))
