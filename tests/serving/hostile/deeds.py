"""What reading a stranger's file must never do: start a program, open a connection. Knows no file and no service."""

from __future__ import annotations

import sys
from typing import Final

# Of Python's audit events (docs.python.org, "Audit events table").
FORBIDDEN: Final = frozenset(
    {"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn", "subprocess.Popen"}
    | {"socket.connect", "socket.bind", "urllib.Request", "ctypes.dlopen"}
)


class Deeds(list[str]):
    """The forbidden ones that this process has done since this list was made. A hook can't be taken away again."""

    def __init__(self) -> None:
        super().__init__()
        sys.addaudithook(self._note)

    def _note(self, event: str, _: object) -> None:
        if event in FORBIDDEN:
            self.append(event)
