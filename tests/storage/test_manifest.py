"""Lists of pairs and matched folders: what is taken, and that all faults are told at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serve_app.storage import manifest
from serve_app.storage.manifest import ManifestWrong, NamedPair, listed, matched


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "sub/c.JPG"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def written(folder: Path, text: str, name: str = "pairs.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def faults(path: Path) -> list[str]:
    with pytest.raises(ManifestWrong) as wrong:
        listed(path)
    return wrong.value.faults


def test_a_csv_names_pairs_relative_to_its_folder(folder: Path) -> None:
    pairs = listed(written(folder, "\ufeffreference, candidate,name\na.png,sub/c.JPG,first\nb.png,b.png,\n"))
    assert pairs == [
        NamedPair("first", folder / "a.png", folder / "sub/c.JPG"),
        NamedPair("b.png", folder / "b.png", folder / "b.png"),
    ]


def test_a_jsonl_names_the_same(folder: Path) -> None:
    text = '{"reference": "a.png", "candidate": "b.png", "name": "标志"}\n\n{"reference":"a.png","candidate":"a.png"}\n'
    assert [pair.name for pair in listed(written(folder, text, "pairs.jsonl"))] == ["标志", "a.png"]


def test_all_faults_of_a_csv_are_told_with_their_lines(folder: Path) -> None:
    text = (
        "reference,candidate,name\na.png,none.png,1\n../x.png,a.png,2\n,a.png,3\na.png\na.png,b.png,4\na.png,b.png,4\n"
    )
    assert faults(written(folder, text)) == [
        "line 2: the candidate 'none.png' does not exist.",
        "line 3: the reference '../x.png' lies outside the list's own folder.",
        "line 4: it names no reference.",
        "line 5: it has not 3 fields.",
        "line 7: the name '4' stands twice.",
    ]


def test_an_absolute_path_lies_outside_too(folder: Path) -> None:
    assert "outside the list's own folder" in faults(written(folder, "reference,candidate\n/etc/passwd,a.png\n"))[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "before,after\na.png,b.png\n",
            "line 1: there is no column reference, there is no column candidate, 'before' is",
        ),
        ("", "line 1: there is no column reference"),
        ("reference,candidate\n", "It names no pair."),
    ],
)
def test_a_csv_of_other_columns_is_told_which_there_are(folder: Path, text: str, said: str) -> None:
    assert faults(written(folder, text))[0].startswith(said)


def test_faults_of_jsonl_are_told_with_their_lines(folder: Path) -> None:
    text = 'no\n[1]\n{"reference":"a.png","candidate":"b.png","size":1}\n{"reference":1,"candidate":"b.png"}\n'
    assert faults(written(folder, text, "pairs.jsonl")) == [
        "line 1: it is no JSON object.",
        "line 2: it is no JSON object.",
        "line 3: it has members other than reference, candidate, name: size.",
        "line 4: it names no reference.",
    ]


def test_names_that_no_database_takes_are_faults(folder: Path) -> None:
    rows = "".join(
        f'{{"reference":"a.png","candidate":"b.png","name":"{name}"}}\n'
        for name in ("\\u0000", "\\ud800", "x" * 1001, "\\n", "\u3000")
    )
    told = faults(written(folder, rows + "[" * 100_000, "pairs.jsonl"))
    said = "a name has 1..1000 characters, none of them a control character."
    assert told == [*(f"line {line}: {said}" for line in (1, 2, 3, 4)), "line 6: it is no JSON object."]


def test_a_fault_is_short_however_long_the_line_is(folder: Path) -> None:
    (folder / "pairs.jsonl").write_text(json.dumps({"reference": "a.png", "x" * 100_000: 1}))
    with pytest.raises(ManifestWrong) as caught:
        listed(folder / "pairs.jsonl")
    (fault,) = caught.value.faults
    assert fault.startswith("line 1: it has members other than reference, candidate, name: xxx")
    assert len(fault) < 500


def test_too_many_pairs_and_too_many_faults_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "MOST_PAIRS", 2)
    rows = "".join(f"a.png,b.png,{number}\n" for number in range(3))
    assert faults(written(folder, "reference,candidate,name\n" + rows)) == ["line 4: more than 2 pairs."]
    many = faults(written(folder, "reference,candidate\n" + "none,a.png\n" * 60))
    assert (len(many), many[-1]) == (51, "and 10 more.")


def test_folders_are_matched_by_relative_name(tmp_path: Path) -> None:
    for name in ("before/a.png", "before/sub/b.jpg", "before/notes.txt", "after/sub/b.jpg", "after/c.WEBP"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    before, after = tmp_path / "before", tmp_path / "after"
    assert matched(before, after) == [
        NamedPair("a.png", before / "a.png", None),
        NamedPair("c.WEBP", None, after / "c.WEBP"),
        NamedPair("sub/b.jpg", before / "sub/b.jpg", after / "sub/b.jpg"),
    ]


def test_folders_without_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestWrong, match="has a picture"):
        matched(tmp_path, tmp_path)
