"""How many bytes a device could still give.
No model, no plan: it asks the driver or the operating system.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil
import torch

_CGROUP = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device) -> int:
    """What a new tensor could take: of a GPU what is free or kept by torch unused, else of the machine's memory,
    or of the container's limit where that leaves less."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + unused)
    return min(int(psutil.virtual_memory().available), left_in_container(_CGROUP))


def left_in_container(folder: Path) -> int:
    """Limit less use of a control group (version 2); what is only a cache of files can be taken back."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        limit = int((folder / "memory.max").read_text())  # "max": no limit
        used = int((folder / "memory.current").read_text())
        counted = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return max(0, limit - used + int(counted["inactive_file"]))
    return 1 << 62
