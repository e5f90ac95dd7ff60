"""nginx with the shipped `deployment/nginx.conf`, on a free port in front of doors of this machine.
Knows no Ray: ports are enough. It ends with its `with` block."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx2

from tests.rigs.nodes import free_port

SHIPPED: Final = Path(__file__).parents[2] / "deployment/nginx.conf"
AROUND: Final = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; {unused}
include {folder}/pairlens.conf; }}
"""


def program() -> str | None:
    """Where nginx is; Debian keeps it outside an ordinary user's path."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


@contextmanager
def in_front_of(ports: Sequence[int], **changed: str) -> Iterator[str]:
    """The URL of nginx in front of doors on these ports of 127.0.0.1; `changed`: other values of directives."""
    nginx = program()
    assert nginx is not None, "needs nginx: apt-get install nginx-light"
    with tempfile.TemporaryDirectory(prefix="edge-") as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)  # its workers are another user
        (folder / "pairlens.conf").write_text(_placed(ports, port, changed), encoding="utf-8")
        unused = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(AROUND.format(folder=folder, unused=unused), encoding="utf-8")
        process = subprocess.Popen([nginx, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"])
        try:
            _wait(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def _placed(ports: Sequence[int], port: int, changed: dict[str, str]) -> str:
    """The shipped file with our ports."""
    doors = "".join(f"    server 127.0.0.1:{each} max_fails=0;\n" for each in ports)
    text, count = re.subn(r"(    server 127\.0\.0\.1:8000 max_fails=0;\n)+", doors, SHIPPED.read_text(encoding="utf-8"))
    assert count == 1, "the shipped file has one list of doors"
    for name, value in {"listen": f"127.0.0.1:{port}", **changed}.items():
        text, count = re.subn(rf"(?<=[ {{])({name} +)[^;]+;", rf"\g<1>{value};", text)
        assert count, f"the shipped file sets {name}"
    return text


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    pause = threading.Event()
    for _ in range(100):
        assert process.poll() is None, "nginx did not start"
        try:
            httpx2.get(url, timeout=1, trust_env=False)
        except httpx2.TransportError:
            pause.wait(0.05)
        else:
            return
    raise TimeoutError("nginx does not answer")
