"""What `pairlens doctor` makes of facts: each finding at its border, and what it says to do."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serve_app.operating import doctor
from serve_app.operating.doctor import GIB, Finding
from serve_app.operating.facts import PACKAGES, Disk, Facts, Gpu, Machine, Model, Networks, Port, Torch
from serve_app.settings import MIB, JobSettings

ROOT = Path(__file__).parents[2]
MACHINE = Machine(
    python=(3, 12, 1), memory=16 * GIB, memory_limit=None, cores=8, cores_limit=None, shared=2 * GIB, open_files=65536
)
H100 = Gpu("NVIDIA H100", "570.86", 80 * GIB)
CUDA = Torch("2.9.0", "12.8", 1)
DISK = Disk(Path("/tmp"), free=50 * GIB, total=100 * GIB, is_writable=True)
MODEL = Model(Path("/m"), is_folder=True, has_config=True, weights=(4 * GIB, 4 * GIB))
FACTS = Facts(
    machine=MACHINE,
    packages=dict.fromkeys(PACKAGES, "1.0") | {"ray": "2.60.0"},
    networks=Networks("PP", is_tried=True),
    gpus=(),
    cards=0,
    torch=None,
    model=None,
    service_port=Port(8000, "nobody"),
    dashboard_port=Port(8265, "nobody"),
    temp=DISK,
    jobs=DISK,
)


def machine(**fields: Any) -> Machine:
    return replace(MACHINE, **fields)


def test_a_good_machine_is_well_and_nothing_is_to_be_done() -> None:
    findings = doctor.examine(FACTS)

    assert {finding.verdict for finding in findings} == {"ok"}
    assert not any(finding.do for finding in findings)
    assert doctor.is_well(findings)
    assert len({finding.name for finding in findings}) == len(findings) == 18


def test_only_what_is_wrong_makes_it_unwell() -> None:
    assert doctor.is_well([Finding("a", "ok", ""), Finding("b", "look", "")])
    assert not doctor.is_well([Finding("a", "ok", ""), Finding("b", "wrong", "")])


@pytest.mark.parametrize(
    ("finding", "verdict", "words"),
    [
        (doctor.python((3, 10, 9)), "wrong", "3.10.9. Install Python 3.11 or later"),
        (doctor.python((3, 11, 0)), "ok", "3.11.0"),
        (doctor.python((4, 0, 0)), "ok", "4.0.0"),
        (doctor.ray(None), "wrong", "pip install 'pairlens[serve]'"),
        (doctor.ray("2.61.0"), "look", "Only 2.60 was tried"),
        (doctor.ray("2.6.0"), "look", "2.6.0"),
        (doctor.ray("2.60.1"), "ok", "2.60.1"),
        (doctor.extra_installed("text", {}), "ok", "no text or bar code in pictures is read (pip install 'pairlens[t"),
        (doctor.extra_installed("text", {"rapidocr": "3.10.0"}), "look", "zxing-cpp not installed. pip install"),
        (doctor.extra_installed("redis", {"redis": "8.1"}), "ok", "redis 8.1"),
        (doctor.networks(Networks("PP", is_tried=False, problem="x.onnx is not it")), "wrong", "x.onnx is not it. pip"),
        (doctor.memory(machine(memory=2 * GIB - 1)), "wrong", "1.9 GiB. Give it 4 GiB"),
        (doctor.memory(machine(memory=2 * GIB)), "look", "2.0 GiB. Give it"),
        (
            doctor.memory(machine(memory_limit=GIB)),
            "wrong",
            "1.0 GiB (limit of the container; the machine has 16.0 GiB",
        ),
        (doctor.memory(machine(memory=4 * GIB, memory_limit=2**59)), "ok", "4.0 GiB"),
        (doctor.cores(machine(cores=1)), "look", "1. The stages as shipped ask for 2"),
        (doctor.cores(machine(cores_limit=1.5)), "look", "1.5 (limit of the container; the machine has 8)"),
        (doctor.cores(machine(cores=2, cores_limit=64.0)), "ok", "2"),
        (
            doctor.shared_memory(machine(shared=64 * MIB)),
            "look",
            "/dev/shm has 64 MiB. Ray wants 1 GiB or more: docker",
        ),
        (doctor.shared_memory(machine(shared=GIB)), "ok", "1.0 GiB"),
        (doctor.shared_memory(machine(shared=None)), "ok", "no /dev/shm"),
        (doctor.open_files(machine(open_files=4095)), "look", "4095 for a process. Ray wants 4096 or more: ulimit"),
        (doctor.open_files(machine(open_files=4096)), "ok", "4096"),
        (doctor.service_port(Port(8000, "pairlens, ready")), "ok", "a running PairLens that is ready"),
        (doctor.service_port(Port(8000, "pairlens, not ready")), "look", "curl http://127.0.0.1:8000/readyz"),
        (doctor.service_port(Port(8000, "another")), "wrong", "held by another program. End it, or serve elsewhere"),
        (doctor.dashboard_port(Port(8265, "another")), "ok", "takes the next free one"),
        (doctor.temp_folder(replace(DISK, free=GIB - 1, total=2 * GIB)), "look", "1023 MiB free in /tmp, of 1.0 GiB"),
        (
            doctor.temp_folder(replace(DISK, free=4 * GIB)),
            "wrong",
            "96% full: Ray stores nothing above 95 %. Free some",
        ),
        (doctor.temp_folder(replace(DISK, free=5 * GIB)), "ok", "5.0 GiB free"),
        (doctor.temp_folder(replace(DISK, is_writable=False)), "wrong", "/tmp can't be written. Change its owner"),
        (doctor.jobs_folder(replace(DISK, free=7 * GIB)), "look", "7.0 GiB free in /tmp, of 8.0 GiB wanted. Free some"),
    ],
)
def test_each_finding_has_its_verdict_and_its_remedy(finding: Finding, verdict: str, words: str) -> None:
    assert finding.verdict == verdict
    assert words in finding.sentence
    assert bool(finding.do) == (verdict != "ok")


@pytest.mark.parametrize(
    ("gpus", "torch", "verdict", "words"),
    [
        ((), None, "ok", "none: models run on the CPU"),
        ((H100,), None, "ok", "NVIDIA H100, 80.0 GiB, driver 570.86 (the extra vl uses it)"),
        ((H100, H100), replace(CUDA, gpus=2), "ok", "and 1 more; torch 2.9.0 uses 2"),
        ((H100,), Torch("2.9.0+cpu", "", 0), "wrong", "Install a torch with CUDA"),
        ((H100,), Torch("2.9.0", "12.8", 0), "wrong", "Update the driver to one for CUDA 12.8"),
        ((replace(H100, free=62 * GIB),), CUDA, "ok", "uses 1"),
        ((H100, replace(H100, free=3 * GIB)), CUDA, "look", "other programs hold all but 3.0 GiB of 80.0 GiB"),
        ((replace(H100, memory=0),), CUDA, "ok", "uses 1"),
        ((H100,), Torch(problem="ImportError: libcudart"), "wrong", "torch can't be imported: ImportError: libcudart"),
    ],
)
def test_a_gpu_is_well_when_torch_uses_it(gpus: tuple[Gpu, ...], torch: Torch | None, verdict: str, words: str) -> None:
    found = doctor.gpu(gpus, torch, cards=len(gpus))
    assert found.verdict == verdict
    assert words in found.sentence


def test_a_card_without_a_driver_is_told() -> None:
    found = doctor.gpu((), None, cards=2)
    assert (found.verdict, found.says) == ("look", "2 cards of NVIDIA, and no driver that answers (nvidia-smi)")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"is_folder": False}, "/m is no folder. Name a folder"),
        ({"has_config": False}, "/m has no config.json. Download"),
        ({"weights": ()}, "/m has no .safetensors weights. Download"),
        ({"missing": ("b", "c", "d", "e")}, "4 files of weights missing: b, c, d and 1 more. Download them"),
        ({"problem": "/m is of a family unknown here."}, "unknown here. `pairlens serve --model` would refuse it"),
        ({"weights": (9 * GIB,)}, "It needs about 10.7 GiB and there are 10.0 GiB"),
    ],
)
def test_a_model_that_would_not_load_says_why(fields: dict[str, Any], words: str) -> None:
    found = doctor.model(replace(MODEL, **fields), 10 * GIB)
    assert found.verdict == "wrong"
    assert words in found.sentence


def test_a_model_that_fits_is_told_with_its_size() -> None:
    assert doctor.model(MODEL, 10 * GIB) == Finding("Model", "ok", "/m: 8.0 GiB of weights in 2 files")


def test_weights_are_held_against_the_memory_that_they_will_lie_in() -> None:
    limited = replace(FACTS, machine=machine(memory_limit=8 * GIB))
    assert doctor.memory_for_weights(limited) == 8 * GIB
    assert doctor.memory_for_weights(replace(limited, gpus=(H100, H100), torch=CUDA)) == 160 * GIB
    full = replace(H100, free=3 * GIB)
    assert doctor.memory_for_weights(replace(limited, gpus=(H100, full), torch=CUDA)) == 83 * GIB
    assert doctor.memory_for_weights(replace(limited, gpus=(H100,), torch=replace(CUDA, gpus=0))) == 8 * GIB
    assert doctor.memory_for_weights(replace(limited, gpus=(replace(H100, memory=0),), torch=CUDA)) == 8 * GIB

    named = {finding.name: finding for finding in doctor.examine(replace(limited, model=MODEL))}
    assert named["Model"].verdict == "wrong"


def test_extras_versions_and_sizes_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    for extra, (packages, _) in doctor.EXTRAS.items():
        assert {_name(each) for each in optional[extra]} == set(packages)
        assert set(packages) < set(PACKAGES)
    assert set(optional) - set(doctor.EXTRAS) == {"dev", "fuzz", "mcp", "serve"}  # without the last there is no Ray
    (ray,) = (each for each in optional["serve"] if each.startswith("ray"))
    assert f">={'.'.join(map(str, doctor.TRIED_RAY))}," in ray
    assert project["requires-python"] == f">={'.'.join(map(str, doctor.LEAST_PYTHON))}"
    assert JobSettings().max_stored_bytes == doctor.STORED_BY_JOBS


def _name(requirement: str) -> str:
    return requirement.split(">")[0].split("=")[0]
