"""What each bomb takes at its peak, beyond its own bytes: a program, since only a fresh process tells.

    python -m tests.serving.hostile.peak

Headers are read, and where they say that there are few pixels these are decoded too. A line of JSON: MiB by name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from serve_app import imaging
from serve_app.core.pictures import Upload
from serve_app.errors import ImageRejected
from serve_app.settings import MIB, Limits
from tests.serving.hostile.bombs import BOMBS

FEW: Final = 1_000_000


def status(name: str) -> int:
    """A field of this process's status in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def read(upload: Upload) -> None:
    try:
        header = imaging.inspect(upload, Limits(), "candidate")
        if header.pixels <= FEW:
            imaging.prepare(upload, header, "candidate", scale=1.0, masks=(), shown=imaging.ShownSpec((64, 64), 85))
    except ImageRejected:
        pass


def peak_mib(data: bytes) -> float:
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak begins anew
    read(Upload(data))
    return (status("VmHWM") - before) / MIB


def main() -> None:
    read(Upload(BOMBS[0].make()))  # what is imported late is imported now
    sys.stdout.write(json.dumps({bomb.name: round(peak_mib(bomb.make()), 1) for bomb in BOMBS}) + "\n")


if __name__ == "__main__":
    main()
