"""A real Prometheus on a free port, over the files of `deployment/prometheus`. It ends with its `with` block."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
import yaml

from tests.cluster.waiting import eventually
from tests.rigs.nodes import free_port

SHIPPED: Final = Path(__file__).parents[2] / "deployment/prometheus"
EVERY_S: Final = 2


def program() -> str | None:
    return shutil.which("prometheus")


needed = pytest.mark.skipif(program() is None and "CI" not in os.environ, reason="needs Debian's prometheus")


@dataclass(frozen=True, slots=True)
class Prometheus:
    url: str

    def query(self, text: str) -> list[dict[str, Any]]:
        """The samples that an expression gives now. Raises AssertionError where Prometheus doesn't take it."""
        answer = httpx2.post(f"{self.url}/api/v1/query", data={"query": text}, timeout=20).json()
        assert answer["status"] == "success", (text, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def value(self, text: str) -> float | None:
        """The one number that an expression gives now; None where it gives none."""
        found = self.query(text)
        return float(found[0]["value"][1]) if found else None

    def rules(self) -> list[dict[str, Any]]:
        """All alerts with their state and the health of their last evaluation."""
        groups = httpx2.get(f"{self.url}/api/v1/rules", timeout=20).json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


@contextmanager
def running(targets: Sequence[str], port: int | None = None) -> Iterator[Prometheus]:
    """It scrapes these (host:port) every two seconds, as its shipped files say otherwise."""
    found = program()
    assert found is not None, "needs Prometheus: apt-get install prometheus"
    port = free_port() if port is None else port
    with tempfile.TemporaryDirectory(prefix="prometheus-") as name:
        folder = Path(name)
        shutil.copytree(SHIPPED, folder / "shipped")
        config = yaml.safe_load((SHIPPED / "prometheus.yml").read_text(encoding="utf-8"))
        config["global"] = {"scrape_interval": f"{EVERY_S}s", "evaluation_interval": f"{EVERY_S}s"}
        # In the form in which Ray's head writes it.
        listed = [{"labels": {"job": "ray"}, "targets": list(targets)}]
        (folder / "nodes.json").write_text(json.dumps(listed), encoding="utf-8")
        config["scrape_configs"][0]["file_sd_configs"] = [{"files": [str(folder / "nodes.json")]}]
        (folder / "shipped/prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        command = [
            *(found, f"--config.file={folder / 'shipped/prometheus.yml'}", f"--web.listen-address=127.0.0.1:{port}"),
            *(f"--storage.tsdb.path={folder / 'data'}", "--log.level=error"),
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            url = f"http://127.0.0.1:{port}"
            try:
                eventually(lambda: process.poll() is not None or _is_ready(url), within_s=30)
                assert process.poll() is None, "Prometheus did not start"
                yield Prometheus(url)
            finally:
                process.terminate()


def _is_ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/-/ready", timeout=5).status_code == httpx2.codes.OK
    except httpx2.TransportError:
        return False
