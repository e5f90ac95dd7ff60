"""The networks' files: found without their package's code, and known by their content."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from serve_app import ocr
from serve_app.ocr import model_files
from serve_app.ocr.model_files import ModelFiles, ModelFilesWrong


@pytest.fixture
def files() -> ModelFiles:
    found = model_files.find()
    if found is None:
        pytest.skip("needs the networks of the extra `text`")
    return found


def test_the_files_are_those_that_were_tried(files: ModelFiles) -> None:
    content = model_files.checked(files.recognition)
    assert len(model_files.checked(files.detection)) == 9_929_594
    symbols = model_files.symbols(content)
    assert len(symbols) == 18_710
    assert (symbols[0], symbols[1], symbols[-1]) == ("", "!", " ")
    assert {"¥", "A", "9", "价", "é"} <= set(symbols)


def test_nothing_of_the_package_is_run(files: ModelFiles) -> None:
    assert ocr.installed("opencv") is not None
    assert model_files.PACKAGE not in sys.modules


def test_another_file_is_refused(files: ModelFiles, tmp_path: Path) -> None:
    other = tmp_path / files.detection.name
    other.write_bytes(files.detection.read_bytes()[:-1] + b"\0")
    with pytest.raises(ModelFilesWrong, match=r"PP-OCRv6_det_small\.onnx is not the file of rapidocr 3\.10\.0"):
        model_files.checked(other)


def test_a_network_without_symbols_is_refused(files: ModelFiles) -> None:
    with pytest.raises(ModelFilesWrong, match="names no symbols"):
        model_files.symbols(model_files.checked(files.detection))


def test_without_the_package_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files, "PACKAGE", "a_package_that_nobody_has")
    model_files.find.cache_clear()
    try:
        assert model_files.find() is None
        assert ocr.installed() is None
    finally:
        model_files.find.cache_clear()


def test_an_operator_may_switch_it_off() -> None:
    assert ocr.installed("none") is None
