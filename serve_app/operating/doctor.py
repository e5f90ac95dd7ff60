"""What of this machine stands in the way of serving, from facts about it: a verdict each, and what to do.
Looks at nothing itself: `facts` gathers, these are pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from serve_app.operating.facts import Disk, Facts, Gpu, Machine, Model, Networks, Port, Torch
from serve_app.settings import MIB

Verdict = Literal["ok", "look", "wrong"]
GIB: Final = 1024 * MIB

LEAST_PYTHON: Final = (3, 11)
TRIED_RAY: Final = (2, 60)
# What each extra of pyproject.toml installs, and what there is not without it.
EXTRAS: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "text": (("rapidocr", "zxing-cpp"), "no text or bar code in pictures is read"),
    "vl": (("torch", "transformers", "llguidance", "num2words"), "no vision-language model runs on this machine"),
    "pdf": (("pypdfium2",), "pages of PDFs can't be compared"),
    "tracing": (("opentelemetry-exporter-otlp-proto-http",), "no spans of requests are sent to a collector"),
    "heic": (("pi-heif",), "HEIC, as iPhones save photographs, can't be taken"),
    "redis": (("redis",), "finished reports can't be kept in a Redis"),
}
# One Preprocessor's budget is 1.5 GiB (`preprocessing.memory_budget_bytes`); the two ingress replicas, Serve's proxy
# and Ray's own processes stand beside it. Twice that leaves room for the second replica.
LEAST_MEMORY: Final = 2 * GIB
ROOMY_MEMORY: Final = 4 * GIB
# As shipped: two Preprocessors of half a core and a model stage of one.
ROOMY_CORES: Final = 2.0
LEAST_SHARED: Final = 1 * GIB  # below it Ray puts its object store on disk, or fails with a bus error
# Ray opens some files for each process and connection, and warns below this.
LEAST_FILES: Final = 4096
# Ray's logs and a body of the largest size, several at once.
LEAST_TEMP: Final = 1 * GIB
# Ray stores nothing more on a disk that is this full (`local_fs_capacity_threshold`).
FULLEST: Final = 0.95
STORED_BY_JOBS: Final = 8 * GIB  # `jobs.max_stored_bytes` as shipped
# Of a GPU's memory: a display and idle programs hold some per cent.
LEAST_FREE: Final = 0.75
# Weights need memory beside them: pictures as tokens, the cache of keys and values, torch's own.
BESIDE_WEIGHTS: Final = 1.2


@dataclass(frozen=True, slots=True)
class Finding:
    """One line for the operator: what was looked at, how it is, and what to do where it isn't well."""

    name: str
    verdict: Verdict
    says: str
    do: str = ""

    @property
    def sentence(self) -> str:
        return self.says.rstrip(".") + (f". {self.do}" if self.do else "")


def examine(facts: Facts) -> tuple[Finding, ...]:
    """All findings, in the order in which somebody would put things right."""
    return tuple(_findings(facts))


def is_well(findings: Iterable[Finding]) -> bool:
    return all(finding.verdict != "wrong" for finding in findings)


def _findings(facts: Facts) -> Iterator[Finding]:
    machine = facts.machine
    yield python(machine.python)
    yield ray(facts.packages.get("ray"))
    for extra in EXTRAS:
        yield extra_installed(extra, facts.packages)
    if facts.networks is not None:
        yield networks(facts.networks)
    yield gpu(facts.gpus, facts.torch, facts.cards)
    if facts.model is not None:
        yield model(facts.model, memory_for_weights(facts))
    yield memory(machine)
    yield cores(machine)
    yield shared_memory(machine)
    yield open_files(machine)
    yield service_port(facts.service_port)
    yield dashboard_port(facts.dashboard_port)
    yield temp_folder(facts.temp)
    yield jobs_folder(facts.jobs)


def python(version: tuple[int, int, int]) -> Finding:
    says = ".".join(map(str, version))
    if version[:2] < LEAST_PYTHON:
        return Finding("Python", "wrong", says, "Install Python 3.11 or later, and PairLens with it.")
    return Finding("Python", "ok", says)


def ray(version: str | None) -> Finding:
    """Ray's version as its package says it; None: not installed."""
    wanted = ".".join(map(str, TRIED_RAY))
    if version is None:
        return Finding("Ray", "wrong", "not installed", "pip install 'pairlens[serve]'")
    if tuple(version.split(".")[:2]) != tuple(map(str, TRIED_RAY)):
        do = f"Only {wanted} was tried: pip install 'ray[serve]=={wanted}.*'"
        return Finding("Ray", "look", version, do)
    return Finding("Ray", "ok", version)


def extra_installed(extra: str, packages: Mapping[str, str]) -> Finding:
    """An extra that is left out is a choice; one that is there in parts is not."""
    wanted, without = EXTRAS[extra]
    there = [f"{name} {packages[name]}" for name in wanted if name in packages]
    missing = [name for name in wanted if name not in packages]
    install = f"pip install 'pairlens[{extra}]'"
    if not there:
        return Finding(f"Extra {extra}", "ok", f"not installed: {without} ({install})")
    if missing:
        return Finding(f"Extra {extra}", "look", f"{', '.join(missing)} not installed", install)
    return Finding(f"Extra {extra}", "ok", ", ".join(there))


def networks(found: Networks) -> Finding:
    if found.is_tried:
        return Finding("Networks of text", "ok", f"{found.name}, the files that were tried")
    return Finding("Networks of text", "wrong", found.problem, "pip install --force-reinstall 'pairlens[text]'")


def gpu(gpus: tuple[Gpu, ...], torch: Torch | None, cards: int) -> Finding:
    """`torch`: what it sees of them; None where it was not asked. `cards`: those on the bus."""
    if not gpus and cards:
        do = "Install NVIDIA's driver, or hand it to the container: docker run --gpus all. Until then the CPU is used."
        return Finding(
            "GPU", "look", f"{_number(cards, 'card')} of NVIDIA, and no driver that answers (nvidia-smi)", do
        )
    if not gpus:
        return Finding("GPU", "ok", "none: models run on the CPU")
    first = gpus[0]
    more = f", and {len(gpus) - 1} more" if len(gpus) > 1 else ""
    says = f"{first.name}, {_size(first.memory)}, driver {first.driver}{more}"
    if torch is None:
        return Finding("GPU", "ok", f"{says} (the extra vl uses it)")
    if torch.problem:
        return Finding("GPU", "wrong", f"{says}; torch can't be imported: {torch.problem}", "Install torch anew.")
    if torch.gpus == 0:
        do = (
            f"Update the driver to one for CUDA {torch.cuda} or later, or install a torch built for this one's: "
            "https://pytorch.org/get-started"
            if torch.cuda
            else "Install a torch with CUDA: pip install --force-reinstall torch"
        )
        return Finding("GPU", "wrong", f"{says}; torch {torch.version} can't use it", do)
    if busy := _busy(gpus):
        return Finding(
            "GPU", "look", f"{says}; {busy}", "See who holds it: nvidia-smi. A replica wants a GPU of its own."
        )
    return Finding("GPU", "ok", f"{says}; torch {torch.version} uses {torch.gpus}")


def _busy(gpus: tuple[Gpu, ...]) -> str:
    """Of the fullest one; nothing where most of each is free."""
    full = [each for each in gpus if each.free is not None and each.free < each.memory * LEAST_FREE]
    if not full:
        return ""
    fullest = min(full, key=lambda each: (each.free or 0) / each.memory)
    return f"other programs hold all but {_size(fullest.free or 0)} of {_size(fullest.memory)}"


def model(found: Model, memory: int) -> Finding:
    """`memory`: bytes that its weights and what they need beside them have."""
    path = str(found.folder)
    if not found.is_folder:
        return Finding(
            "Model", "wrong", f"{path} is no folder", "Name a folder with config.json and .safetensors files."
        )
    if not found.has_config:
        return Finding("Model", "wrong", f"{path} has no config.json", "Download the whole checkpoint.")
    if not found.weights:
        do = "Download the .safetensors files: weights of other formats can run code and are not loaded."
        return Finding("Model", "wrong", f"{path} has no .safetensors weights", do)
    if found.missing:
        some = ", ".join(found.missing[:3]) + (f" and {len(found.missing) - 3} more" if len(found.missing) > 3 else "")
        return Finding(
            "Model", "wrong", f"{_number(len(found.missing), 'file')} of weights missing: {some}", "Download them."
        )
    if found.problem:
        return Finding("Model", "wrong", found.problem, "`pairlens serve --model` would refuse it.")
    says = f"{path}: {_size(sum(found.weights))} of weights in {_number(len(found.weights), 'file')}"
    needed = int(sum(found.weights) * BESIDE_WEIGHTS)
    if needed > memory:
        do = f"It needs about {_size(needed)} and there are {_size(memory)}: take a smaller one or more memory."
        return Finding("Model", "wrong", says, do)
    return Finding("Model", "ok", says)


def memory_for_weights(facts: Facts) -> int:
    """Free bytes of all GPUs, if torch sees them: a model is laid over several. Else of the machine, which also stands
    in for a GPU that has no memory of its own."""
    if facts.torch is not None and facts.torch.gpus:
        free = (each.memory if each.free is None else each.free for each in facts.gpus)
        return sum(free) if any(each.memory for each in facts.gpus) else _memory(facts.machine)
    return _memory(facts.machine)


def memory(machine: Machine) -> Finding:
    bound = _memory(machine)
    is_bound = machine.memory_limit is not None and machine.memory_limit < machine.memory
    says = f"{_size(bound)}{f' (limit of the container; the machine has {_size(machine.memory)})' if is_bound else ''}"
    do = "Give it 4 GiB or more, or lower `preprocessing.memory_budget_bytes` and `num_replicas` in serve_config.yaml."
    if bound < LEAST_MEMORY:
        return Finding("Memory", "wrong", says, do)
    return Finding("Memory", "look" if bound < ROOMY_MEMORY else "ok", says, do if bound < ROOMY_MEMORY else "")


def cores(machine: Machine) -> Finding:
    bound = machine.cores if machine.cores_limit is None else min(machine.cores_limit, machine.cores)
    says = f"{bound:g}{f' (limit of the container; the machine has {machine.cores})' if bound < machine.cores else ''}"
    if bound < ROOMY_CORES:
        do = "The stages as shipped ask for 2: give it 2, or lower `num_cpus` in serve_config.yaml."
        return Finding("Cores", "look", says, do)
    return Finding("Cores", "ok", says)


def shared_memory(machine: Machine) -> Finding:
    if machine.shared is None:
        return Finding("Shared memory", "ok", "no /dev/shm on this system: Ray uses files")
    if machine.shared < LEAST_SHARED:
        do = "Ray wants 1 GiB or more: docker run --shm-size 2g, or mount -o remount,size=2g /dev/shm"
        return Finding("Shared memory", "look", f"/dev/shm has {_size(machine.shared)}", do)
    return Finding("Shared memory", "ok", f"/dev/shm has {_size(machine.shared)}")


def open_files(machine: Machine) -> Finding:
    """Ray raises the soft limit to the hard one by itself, so that is what counts."""
    says = f"{machine.open_files} for a process"
    if machine.open_files < LEAST_FILES:
        do = "Ray wants 4096 or more: ulimit -n 65536, or docker run --ulimit nofile=65536:65536"
        return Finding("Open files", "look", says, do)
    return Finding("Open files", "ok", says)


def service_port(port: Port) -> Finding:
    name = f"Port {port.number}"
    if port.is_free:
        return Finding(name, "ok", "free")
    if port.holder == "pairlens, ready":
        return Finding(name, "ok", "held by a running PairLens that is ready")
    if port.holder == "pairlens, not ready":
        do = f"See what it waits for: curl http://127.0.0.1:{port.number}/readyz"
        return Finding(name, "look", "held by a running PairLens that is not ready", do)
    return Finding(name, "wrong", "held by another program", "End it, or serve elsewhere: pairlens serve --port 8001")


def dashboard_port(port: Port) -> Finding:
    name = f"Port {port.number}"
    if port.is_free:
        return Finding(name, "ok", "free, for Ray's dashboard")
    return Finding(name, "ok", "held: `pairlens serve` takes the next free one for Ray's dashboard")


def temp_folder(disk: Disk) -> Finding:
    return _disk("Temp folder", disk, LEAST_TEMP, "Free some, or name a short folder by TMPDIR: Ray's files lie there.")


def jobs_folder(disk: Disk) -> Finding:
    do = "Free some, or lower `jobs.max_stored_bytes`, or name another `jobs.folder` in serve_config.yaml."
    return _disk("Jobs folder", disk, STORED_BY_JOBS, do)


def _disk(name: str, disk: Disk, least: int, do: str) -> Finding:
    if not disk.is_writable:
        return Finding(name, "wrong", f"{disk.folder} can't be written", "Change its owner or mode, or name another.")
    says = f"{_size(disk.free)} free in {disk.folder}"
    full = 1 - disk.free / disk.total if disk.total else 0.0
    if full > FULLEST:
        return Finding(name, "wrong", f"{says}, {full:.0%} full: Ray stores nothing above 95 %", do)
    if disk.free < least:
        return Finding(name, "look", f"{says}, of {_size(least)} wanted", do)
    return Finding(name, "ok", says)


def _memory(machine: Machine) -> int:
    return machine.memory if machine.memory_limit is None else min(machine.memory, machine.memory_limit)


def _size(size: int) -> str:
    """Rounded down: less than a bound must not read as the bound.

    >>> _size(1536 * MIB), _size(2 * GIB - 1), _size(300 * MIB)
    ('1.5 GiB', '1.9 GiB', '300 MiB')
    """
    return f"{size * 10 // GIB / 10:.1f} GiB" if size >= GIB else f"{size // MIB} MiB"


def _number(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
