"""One real Ray for all cluster tests: its own ports, its own short temp folder, joined by nobody."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx2
import pytest

# Before the first import of ray: no token file in the home folder, no stranger's cluster, no call home,
# and replicas, which are processes of their own, find the checkout.
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
os.environ.pop("RAY_ADDRESS", None)
os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])

from serve_app.operating.own_ray import SERVE_ENVIRONMENT
from tests.rigs.nodes import free_port

os.environ.update(SERVE_ENVIRONMENT)

import ray
from ray import serve

from serve_app.app import graph
from serve_app.settings import Settings
from tests.cluster.waiting import eventually

LOGGING = {"encoding": "JSON", "log_level": "INFO"}
Deploy = Callable[..., AbstractContextManager[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)
    # Ray's page of metrics keeps the series of every application that was: first, while a scrape of it is quick.
    items.sort(key=lambda item: "watching/test_scraped" not in item.nodeid)


@pytest.fixture(scope="session")
def ray_url() -> Iterator[str]:
    """The address of Serve's HTTP proxy on a Ray without a GPU."""
    folder = tempfile.mkdtemp(prefix="pl-", dir="/tmp")  # short: sockets live under it, 107 bytes at most
    port = free_port()
    ray.init(
        address="local",
        num_cpus=16,  # logical: several apps of three replicas each stand side by side
        num_gpus=0,
        include_dashboard=False,
        object_store_memory=200_000_000,
        log_to_driver=False,
        logging_level="ERROR",
        namespace="pairlens-tests",
        _temp_dir=folder,
    )
    try:
        serve.start(
            proxy_location="HeadOnly",
            http_options={"host": "127.0.0.1", "port": port, "request_timeout_s": 60},
            logging_config=LOGGING,
        )
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def is_ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz").status_code == httpx2.codes.OK
    except httpx2.TransportError:  # a busy machine: Ray's proxy takes its time to learn of a new application
        return False


@pytest.fixture(scope="session")
def deploy(ray_url: str) -> Deploy:
    """`with deploy(Settings(...)) as url:` serves these settings until the end of the block."""
    taken: list[str] = []

    @contextmanager
    def deployed(settings: Settings, *, ready: bool = True, **replicas: int) -> Iterator[str]:
        name = f"app{len(taken)}"
        taken.append(name)
        application = graph(settings, **replicas)
        serve.run(application, name=name, route_prefix=f"/{name}", logging_config=LOGGING)
        url = f"{ray_url}/{name}"
        try:
            if ready:
                eventually(lambda: is_ready(url), within_s=60)
            yield url
        finally:
            serve.delete(name)

    return deployed
