"""How facts are gathered: from files of a container, a driver's tool, real sockets and folders."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serve_app.operating import facts
from serve_app.operating.facts import Gpu, Torch
from serve_app.settings import MIB
from tests.rigs.http_server import served
from tests.rigs.nodes import free_port


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    return folder


def test_limits_of_a_container_are_read_in_both_versions(tmp_path: Path) -> None:
    second = written(tmp_path / "2", memory_DOT_max=str(3 * MIB), cpu_DOT_max="150000 100000")
    first = written(
        tmp_path / "1",
        memory__memory_DOT_limit_in_bytes=str(5 * MIB),
        cpu__cpu_DOT_cfs_quota_us="50000",
        cpu__cpu_DOT_cfs_period_us="100000",
    )
    assert (facts.memory_limit(second), facts.cores_limit(second)) == (3 * MIB, 1.5)
    assert (facts.memory_limit(first), facts.cores_limit(first)) == (5 * MIB, 0.5)


def test_no_limit_is_none(tmp_path: Path) -> None:
    second = written(tmp_path / "2", memory_DOT_max="max", cpu_DOT_max="max 100000")
    first = written(
        tmp_path / "1",
        memory__memory_DOT_limit_in_bytes=str(2**63 - 4096),
        cpu__cpu_DOT_cfs_quota_us="-1",
        cpu__cpu_DOT_cfs_period_us="100000",
    )
    for cgroup in (second, first, tmp_path / "none"):
        assert (facts.memory_limit(cgroup), facts.cores_limit(cgroup)) == (None, None)


def tool(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A driver's tool that does as `script` says, the only program in the path."""
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_gpus_are_those_that_the_drivers_tool_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, monkeypatch, "echo 'NVIDIA L4, 550.54, 23034, 22500'; echo 'NVIDIA GB10, 580.95, [N/A], [N/A]'")
    l4 = Gpu("NVIDIA L4", "550.54", 23034 * MIB, 22500 * MIB)
    assert facts.nvidia_gpus() == (l4, Gpu("NVIDIA GB10", "580.95", 0, None))


def test_cards_are_those_on_the_bus(tmp_path: Path) -> None:
    for name, vendor, kind in (("1", "0x10de", "0x030200"), ("2", "0x10de", "0x040300"), ("3", "0x1002", "0x030000")):
        written(tmp_path, **{f"{name}__vendor": vendor, f"{name}__class": kind})
    assert facts.nvidia_cards(tmp_path) == 1  # not the sound of the same board, nor another's
    assert facts.nvidia_cards(tmp_path / "none") == 0


def test_a_tool_that_fails_or_is_not_there_means_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, monkeypatch, "echo 'NVIDIA-SMI has failed'; exit 9")
    assert facts.nvidia_gpus() == ()
    (tmp_path / "nvidia-smi").unlink()
    assert facts.nvidia_gpus() == ()


def test_torch_is_asked_in_another_process() -> None:
    assert facts.ask_torch("print('noise'); print('[\"2.9\", \"12.8\", 2]')") == Torch("2.9", "12.8", 2)
    assert facts.ask_torch("raise ImportError('libcudart')").problem == "ImportError: libcudart"
    assert facts.ask_torch("import os; os._exit(7)").problem == "its process ended with 7"


def test_a_checkpoint_is_told_by_its_files(tmp_path: Path) -> None:
    index = json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors", "c": "two.safetensors"}})
    written(tmp_path, config_DOT_json="{}", one_DOT_safetensors="12345", model_DOT_safetensors_DOT_index_DOT_json=index)
    found = facts.checkpoint(tmp_path, can_check=False)
    assert (found.is_folder, found.has_config) == (True, True)
    assert (found.weights, found.missing, found.problem) == ((6,), ("two.safetensors",), "")
    (tmp_path / "three.safetensors").symlink_to(tmp_path / "blob that never came")
    assert facts.checkpoint(tmp_path, can_check=False).missing == ("three.safetensors", "two.safetensors")
    assert not facts.checkpoint(tmp_path / "config.json", can_check=False).is_folder


def test_what_the_engine_would_refuse_is_its_problem(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    written(tmp_path, config_DOT_json='{"model_type": "no_such_family"}', one_DOT_safetensors="12345")
    problem = facts.checkpoint(tmp_path, can_check=True).problem
    assert "no_such_family" in problem
    assert "\n" not in problem


@contextmanager
def answering(version: Any, ready: int) -> Iterator[int]:
    async def told(request: Request) -> Response:
        return JSONResponse(version)

    async def readiness(request: Request) -> Response:
        return Response(status_code=ready)

    make: Callable[[], Any] = lambda: Starlette(routes=[Route("/version", told), Route("/readyz", readiness)])  # noqa: E731
    with served(make) as url:
        yield int(url.rpartition(":")[2])


@pytest.mark.parametrize(
    ("version", "ready", "holder"),
    [
        ({"data": {"name": "pairlens"}}, 200, "pairlens, ready"),
        ({"data": {"name": "pairlens"}}, 503, "pairlens, not ready"),
        ({"data": {"name": "another"}}, 200, "another"),
        ({"data": None}, 200, "another"),
        (["pairlens"], 200, "another"),
    ],
)
def test_who_holds_a_port_is_asked(version: Any, ready: int, holder: str) -> None:
    with answering(version, ready) as port:
        assert facts.holder(port) == holder


def test_a_port_that_is_free_or_mute_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "ANSWER_S", 0.1)
    assert facts.holder(free_port()) == "nobody"
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert facts.holder(mute.getsockname()[1]) == "another"


def test_a_folder_that_is_not_there_yet_is_told_by_the_one_above_it(tmp_path: Path) -> None:
    there, later = facts.disk(tmp_path), facts.disk(tmp_path / "a" / "b")
    assert (later.folder, later.total, later.is_writable) == (tmp_path / "a" / "b", there.total, True)
    (tmp_path / "file").touch()
    assert not facts.disk(tmp_path / "file" / "below").is_writable


def test_this_machine_has_all_facts(tmp_path: Path) -> None:
    found = facts.gather(model=tmp_path, jobs=tmp_path / "jobs", port=free_port(), dashboard_port=free_port())
    assert found.machine.memory > 100 * MIB
    assert found.machine.cores >= 1
    assert found.packages["ray"].count(".") == 2
    assert found.service_port.is_free
    assert found.jobs.folder == tmp_path / "jobs"
    assert found.model is not None
    assert found.model.is_folder
