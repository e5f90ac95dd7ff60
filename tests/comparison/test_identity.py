"""The id of a report: the same for the same question, another for any other, known before the work."""

from __future__ import annotations

import dataclasses

import pytest

from serve_app import measurement
from serve_app.comparison import identity
from serve_app.comparison.dialogue import prompt
from serve_app.core import reading
from serve_app.core.inquiry import ModelIdentity
from serve_app.core.pictures import Upload
from serve_app.ocr import installation, model_files
from serve_app.settings import ModelSettings
from tests.worlds.samples import config

A, B = Upload(b"a"), Upload(b"b")
MODEL = ModelIdentity("transformers", "a/model", "1")


def test_the_same_question_has_the_same_id() -> None:
    first = identity.report_id(A, B, config(), MODEL)
    assert identity.report_id(Upload(b"a"), Upload(b"b"), config(processing_timeout=5), MODEL) == first
    assert identity.report_id(A.digested(), B.digested(), config(), MODEL) == first
    assert len(first) == 32


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(MODEL, engine="other"),
        dataclasses.replace(MODEL, name="other"),
        dataclasses.replace(MODEL, revision="other"),
        dataclasses.replace(MODEL, thought_tokens=1),
    ],
)
def test_another_model_has_another_id(other: ModelIdentity) -> None:
    assert identity.report_id(A, B, config(), other) != identity.report_id(A, B, config(), MODEL)


def test_other_files_config_and_versions_have_another_id(monkeypatch: pytest.MonkeyPatch) -> None:
    first = identity.report_id(A, B, config(), MODEL)
    alone = identity.report_id(A, B, config(), ModelIdentity("none", None, None))
    others = [
        identity.report_id(B, A, config(), MODEL),
        identity.report_id(A, A, config(), MODEL),
        identity.report_id(A, B, config(similarity_threshold=0.5), MODEL),
    ]
    monkeypatch.setattr(prompt, "VERSION", "another")
    others.append(identity.report_id(A, B, config(), MODEL))
    assert identity.report_id(A, B, config(), ModelIdentity("none", None, None)) == alone  # nobody reads the prompt
    monkeypatch.setattr(measurement, "VERSION", "another")
    others.append(identity.report_id(A, B, config(), MODEL))
    assert len({first, alone, *others}) == 7


def test_what_reads_is_part_of_the_id_where_text_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def ids() -> tuple[str, str]:
        installation.parts.cache_clear()
        return identity.report_id(A, B, config(), MODEL), identity.report_id(A, B, config(read_text=False), MODEL)

    before = ids()
    with monkeypatch.context() as without:
        without.setattr(model_files, "find", lambda: None)
        bare = ids()
    with monkeypatch.context() as without:
        without.setattr(model_files, "find", lambda: "files")
        without.setattr("importlib.util.find_spec", lambda name: None)
        no_zxing = ids()
        without.setattr(reading, "VERSION", "another")
        another = ids()
    installation.parts.cache_clear()
    assert len({before[0], bare[0], no_zxing[0], another[0], before[1]}) == 5
    assert {bare[1], no_zxing[1], another[1]} == {before[1]}


def test_a_digest_is_computed_once() -> None:
    known = Upload(b"a", "known")
    assert known.digested() is known
    assert known.digest == "known"
    assert A.digested().sha256 == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"


def test_the_configured_model_is_named_without_a_path_of_ours() -> None:
    named = identity.configured(ModelSettings(engine="transformers", name="/srv/models/qwen", revision="1"))
    assert named == ModelIdentity("transformers", "qwen", "1")
    assert identity.configured(ModelSettings()) == ModelIdentity("none", None, None)


@pytest.mark.parametrize(("engine", "tokens"), [("transformers", 64), ("openai", 0)])
def test_what_is_written_before_the_first_question_is_a_part_of_the_prompts_version(engine: str, tokens: int) -> None:
    """Of the engine that lets a model write it; without it the version stays as it was."""
    chosen = {"engine": engine, "name": "m", "thought_tokens": 64, "server": {"base_url": "http://x/v1"}}
    model = identity.configured(ModelSettings.model_validate(chosen))
    assert model.thought_tokens == tokens
    assert prompt.version(model) == (f"{prompt.VERSION}+thought64" if tokens else prompt.VERSION)
