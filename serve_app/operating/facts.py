"""Facts about this machine that serving depends on: packages, GPUs, memory, ports, disks.
Judges none of them (`doctor` does), starts nothing that stays, and reads no secret."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Literal

import httpx2
import psutil

from serve_app import vlm
from serve_app.ocr import model_files
from serve_app.operating import own_ray
from serve_app.settings import MIB, JobSettings, ModelSettings

PACKAGES: Final = (
    "ray", "rapidocr", "zxing-cpp", "torch", "transformers", "llguidance", "num2words", "pypdfium2", "pi-heif", "redis",
    "opentelemetry-exporter-otlp-proto-http",
)  # fmt: skip
Holder = Literal["nobody", "pairlens, ready", "pairlens, not ready", "another"]
# torch takes some 5 s to be imported from a cold disk; a driver that hangs longer has failed.
TORCH_S: Final = 60.0
NVIDIA_SMI_S: Final = 15.0
ANSWER_S: Final = 2.0
CGROUP: Final = Path("/sys/fs/cgroup")
PCI: Final = Path("/sys/bus/pci/devices")
NVIDIA: Final = "0x10de"
# Asked in a process of its own: only the local engine imports torch, and a broken driver may crash it.
_ASK_TORCH: Final = (
    "import json, torch; print(json.dumps([torch.__version__, torch.version.cuda or '', torch.cuda.device_count()]))"
)


@dataclass(frozen=True, slots=True)
class Machine:
    """Bytes and numbers. A limit is that of the container, None where it sets none; `shared` is /dev/shm's size."""

    python: tuple[int, int, int]
    memory: int
    memory_limit: int | None
    cores: int
    cores_limit: float | None
    shared: int | None
    open_files: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """`free`: bytes that no other program holds; None where the driver doesn't tell."""

    name: str
    driver: str
    memory: int
    free: int | None = None


@dataclass(frozen=True, slots=True)
class Torch:
    """What torch sees; `cuda` is the version that it was built for, empty for none."""

    version: str = ""
    cuda: str = ""
    gpus: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Networks:
    """The files that read text: those that were tried, or what is wrong with them."""

    name: str
    is_tried: bool
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """A folder with a checkpoint: sizes of its files of weights, and those that its index names but which aren't there.
    `problem` is what the engine says of it without loading it."""

    folder: Path
    is_folder: bool
    has_config: bool = False
    weights: tuple[int, ...] = ()
    missing: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Port:
    """One of 127.0.0.1."""

    number: int
    holder: Holder

    @property
    def is_free(self) -> bool:
        return self.holder == "nobody"


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes of the disk that a folder lies on, or will."""

    folder: Path
    free: int
    total: int
    is_writable: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """`cards`: of NVIDIA's on the bus of this machine, whether a driver answers for them or not."""

    machine: Machine
    packages: dict[str, str]
    networks: Networks | None
    gpus: tuple[Gpu, ...]
    cards: int
    torch: Torch | None
    model: Model | None
    service_port: Port
    dashboard_port: Port
    temp: Disk
    jobs: Disk


def gather(
    *, model: Path | None = None, jobs: Path | None = None, port: int = 8000, dashboard_port: int = 8265
) -> Facts:
    """All of them; a second or two, with a GPU as long as torch takes to be imported."""
    packages = installed()
    gpus = nvidia_gpus()
    return Facts(
        machine=machine(),
        packages=packages,
        networks=networks(),
        gpus=gpus,
        cards=nvidia_cards(PCI),
        torch=ask_torch() if gpus and "torch" in packages else None,
        model=None if model is None else checkpoint(model, can_check="transformers" in packages),
        service_port=Port(port, holder(port)),
        dashboard_port=Port(dashboard_port, holder(dashboard_port)),
        temp=disk(own_ray.parent_folder()),
        jobs=disk((jobs or Path(JobSettings().folder)).expanduser()),
    )


def installed() -> dict[str, str]:
    """Versions of those packages that are, without importing any."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def machine() -> Machine:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard if hard != resource.RLIM_INFINITY else max(soft, 2**20)
    shared = Path("/dev/shm")
    return Machine(
        python=sys.version_info[:3],
        memory=psutil.virtual_memory().total,
        memory_limit=memory_limit(CGROUP),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        cores_limit=cores_limit(CGROUP),
        shared=psutil.disk_usage(str(shared)).total if shared.is_dir() else None,
        open_files=most,
    )


def memory_limit(cgroup: Path) -> int | None:
    """Of this container, by version 2 of cgroups or 1; None: none."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        said = _read(cgroup / name)
        # Version 1 says "no limit" by the largest number of pages.
        if said.isdigit() and int(said) < 2**60:
            return int(said)
    return None


def cores_limit(cgroup: Path) -> float | None:
    """The same in cores; a quota of 50 ms in each 100 ms is half a core."""
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    if not quota:
        quota, period = _read(cgroup / "cpu/cpu.cfs_quota_us"), _read(cgroup / "cpu/cpu.cfs_period_us")
    if quota.isdigit() and period.isdigit() and int(period):
        return int(quota) / int(period)
    return None


def networks() -> Networks | None:
    """None where the package that they come with isn't installed."""
    files = model_files.find()
    if files is None:
        if "rapidocr" not in installed():
            return None
        return Networks(
            model_files.MODEL, is_tried=False, problem=f"{model_files.MODEL} is not in the package rapidocr"
        )
    try:
        for path in (files.detection, files.recognition):
            model_files.checked(path)
    except (model_files.ModelFilesWrong, OSError) as exc:
        return Networks(model_files.MODEL, is_tried=False, problem=str(exc))
    return Networks(model_files.MODEL, is_tried=True)


def nvidia_gpus() -> tuple[Gpu, ...]:
    """As the driver's own tool tells them; none where it isn't there or fails."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=NVIDIA_SMI_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return parsed_gpus(said)


def parsed_gpus(said: str) -> tuple[Gpu, ...]:
    """
    >>> parsed_gpus("NVIDIA H100 80GB HBM3, 570.86, 81559, 81003")
    (Gpu(name='NVIDIA H100 80GB HBM3', driver='570.86', memory=85520809984, free=84937801728),)
    """
    rows = [[cell.strip() for cell in line.split(",")] for line in said.splitlines()]
    # Some boards, with memory shared with the machine, say "[N/A]" for it.
    sizes = [(row, [int(cell) * MIB if cell.isdigit() else None for cell in row[2:]]) for row in rows if len(row) == 4]
    return tuple(Gpu(row[0], row[1], total or 0, free) for row, (total, free) in sizes)


def nvidia_cards(bus: Path) -> int:
    """GPUs of NVIDIA among the devices that Linux lists there (class 03: they draw or compute); 0 on other systems."""
    found = (_read(path / "vendor") == NVIDIA and _read(path / "class").startswith("0x03") for path in bus.glob("*"))
    return sum(found)


def ask_torch(program: str = _ASK_TORCH) -> Torch:
    try:
        asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=TORCH_S)
    except subprocess.TimeoutExpired:
        return Torch(problem=f"no answer within {TORCH_S:g} s")
    if asked.returncode != 0:
        last = asked.stderr.strip().splitlines() or [f"its process ended with {asked.returncode}"]
        return Torch(problem=last[-1][:200])
    version, cuda, gpus = json.loads(asked.stdout.strip().splitlines()[-1])
    return Torch(version, cuda, gpus)


def checkpoint(folder: Path, *, can_check: bool) -> Model:
    """`can_check`: whether what reads its architecture is installed. Loads no weights."""
    # Of os.path, which takes what this user may not see for absent, where pathlib raises.
    if not os.path.isdir(folder):
        return Model(folder, is_folder=False)
    named = _named_weights(folder) | {path.name for path in folder.glob("*.safetensors")}
    weights = {name: os.path.getsize(folder / name) for name in named if os.path.isfile(folder / name)}
    has_config = os.path.isfile(folder / "config.json")
    problem = ""
    if can_check and has_config and weights:
        try:
            vlm.check(ModelSettings(engine="transformers", name=str(folder)))
        except vlm.ModelUnavailable as exc:
            problem = str(exc)
    return Model(
        folder,
        is_folder=True,
        has_config=has_config,
        weights=tuple(weights.values()),
        missing=tuple(sorted(named - weights.keys())),  # in a hub's cache also links whose file never came
        problem=problem,
    )


def _named_weights(folder: Path) -> set[str]:
    """Files that the index of a checkpoint in several files names."""
    try:
        index: Any = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
        return {str(name) for name in index["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def holder(port: int) -> Holder:
    """Who listens on 127.0.0.1 there: asked by HTTP whether it is PairLens, and whether that is ready."""
    if own_ray.port_is_free("127.0.0.1", port):
        return "nobody"
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx2.Client(timeout=ANSWER_S, trust_env=False) as client:
            told = client.get(f"{url}/version").json()
            if told["data"]["name"] != "pairlens":
                return "another"
            is_ready = client.get(f"{url}/readyz").status_code == httpx2.codes.OK
    except (httpx2.HTTPError, ValueError, KeyError, TypeError):
        return "another"
    return "pairlens, ready" if is_ready else "pairlens, not ready"


def disk(folder: Path) -> Disk:
    """Of the nearest folder above it that is there, if it isn't."""
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))
    usage = psutil.disk_usage(str(there))
    return Disk(folder, usage.free, usage.total, os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
