"""Labelled pairs as people bring them: what is taken, and that all faults are told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve_app.evaluation import pairs
from serve_app.evaluation.pairs import Label, LabelledPair
from serve_app.storage.manifest import ManifestWrong


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def listed(folder: Path, text: str, name: str = "pairs.csv") -> list[LabelledPair]:
    touched(folder, "a.png", "b.png", "c.png")
    (folder / name).write_text(text, encoding="utf-8")
    return pairs.read(folder / name)


def faults(folder: Path, text: str, name: str = "pairs.csv") -> list[str]:
    with pytest.raises(ManifestWrong) as wrong:
        listed(folder, text, name)
    return wrong.value.faults


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("match", "match"),
        ("1", "match"),
        ("Same", "match"),
        ("mismatch", "mismatch"),
        ("0", "mismatch"),
        (" different ", "mismatch"),
    ],
)
def test_a_csv_labels_pairs_in_any_of_the_words(tmp_path: Path, said: str, label: Label) -> None:
    (pair,) = listed(tmp_path, f"reference,candidate,label\na.png,b.png,{said}\n")
    assert pair == LabelledPair("a.png | b.png", tmp_path / "a.png", tmp_path / "b.png", label, "")


def test_a_kind_and_a_name_are_taken_too(tmp_path: Path) -> None:
    (pair,) = listed(tmp_path, "kind,candidate,label,reference,name\nphoto,b.png,1,a.png,first\n")
    assert (pair.kind, pair.name, pair.reference.name) == ("photo", "first", "a.png")


def test_a_jsonl_says_the_same(tmp_path: Path) -> None:
    text = (
        '{"reference":"a.png","candidate":"b.png","label":1}\n{"reference":"a.png","candidate":"c.png","label":false}\n'
    )
    assert [pair.label for pair in listed(tmp_path, text, "pairs.jsonl")] == ["match", "mismatch"]


def test_all_faults_are_told_with_their_lines(tmp_path: Path) -> None:
    text = (
        "reference,candidate,label,lable\n"
        "a.png,none.png,match,1\n"
        "a.png,b.png,perhaps,1\n"
        "../a.png,,1,1\n"
        "a.png,b.png,1,1\n"
        "a.png,b.png,0,1\n"
        "a.png,c.png\n"
    )
    assert faults(tmp_path, text) == [
        "line 1: 'lable' is no column; the columns are reference, candidate, label and, if wanted, kind, name.",
        "line 2: the candidate 'none.png' does not exist.",
        "line 3: the label is none of match, same, 1, mismatch, different, 0.",
        "line 4: the reference '../a.png' lies outside the list's own folder.",
        "line 4: it names no candidate.",
        "line 6: the same pair stands in line 5.",
        "line 7: it has not 4 fields.",
    ]


def test_a_missing_column_is_told_once_and_not_for_each_line(tmp_path: Path) -> None:
    assert faults(tmp_path, "reference,candidate\na.png,b.png\na.png,c.png\n") == [
        "line 1: there is no column label; the columns are reference, candidate, label and, if wanted, kind, name."
    ]


def test_one_name_for_two_pairs_and_no_pair_are_faults(tmp_path: Path) -> None:
    text = "reference,candidate,label,name\na.png,b.png,1,x\na.png,c.png,1,x\n"
    assert faults(tmp_path, text) == ["line 3: the same name stands in line 2."]
    assert faults(tmp_path, "reference,candidate,label\n") == ["It names no pair."]


def test_folders_label_what_lies_in_them(tmp_path: Path) -> None:
    touched(
        tmp_path,
        *("match/one.reference.png", "match/one.candidate.JPG", "match/notes.txt"),
        *("match/photos/two_reference.png", "match/photos/two_candidate.png"),
        *("mismatch/three/reference.webp", "mismatch/three/candidate.webp"),
        *("mismatch/shop/four/reference.png", "mismatch/shop/four/candidate.png"),
    )
    found = {(pair.name, pair.label, pair.kind) for pair in pairs.read(tmp_path)}
    assert found == {
        ("match/one", "match", ""),
        ("match/photos/two", "match", "photos"),
        ("mismatch/three", "mismatch", ""),
        ("mismatch/shop/four", "mismatch", "shop"),
    }


def test_all_faults_of_folders_are_told(tmp_path: Path) -> None:
    names = ("match/one.reference.png", "match/two.png", "mismatch/x/reference.png", "mismatch/x/reference.jpg")
    touched(tmp_path, *names)
    with pytest.raises(ManifestWrong) as wrong:
        pairs.read(tmp_path)
    assert wrong.value.faults == [
        "match/two.png: its name ends neither in reference nor in candidate.",
        "match/one: there is no candidate.",
        "mismatch/x/reference.png: there is another reference of this pair.",
        "mismatch/x: there is no candidate.",
    ]


def test_a_folder_without_both_labels_is_told_what_is_missing(tmp_path: Path) -> None:
    touched(tmp_path, "match/one.reference.png")
    with pytest.raises(ManifestWrong, match=r"There is no folder .*/mismatch"):
        pairs.read(tmp_path)
