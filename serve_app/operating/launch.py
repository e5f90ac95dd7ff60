"""`pairlens serve`: a checked file in, a running service in the foreground, nothing left behind.
No HTTP routes and no pixels: it starts Ray, deploys through Serve's REST API, waits, and ends what it started."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

import httpx2

from serve_app import imaging, vlm
from serve_app.operating import own_ray
from serve_app.operating.serve_file import ServeFile
from serve_app.serving import exposure, proxy
from serve_app.serving.admission import KeyRing, KeysUnreadable
from serve_app.serving.deployments.names import INGRESS
from serve_app.settings import Access, CacheSettings, JobSettings, Limits, ModelSettings, Settings, WebhookSettings
from serve_app.storage.profiles import ProfileWrong, with_profiles
from serve_app.storage.report_stores import open_reports
from serve_app.storage.reports import CacheUnavailable

if TYPE_CHECKING:
    from ray.serve.schema import ApplicationStatusOverview

Say = Callable[[str], None]
POLL_S: Final = 0.1
# How often a long start, that of a large model, says what it waits for.
PROGRESS_S: Final = 15.0
# An ingress that does not say within this time how many requests it has is taken for lost.
ANSWER_S: Final = 5.0
# The last answer has left the ingress; its bytes still pass through Serve's proxy.
LAST_BYTES_S: Final = 0.3


class LaunchFailed(Exception):
    """The service can't be served: one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One run of the service. `stop` ends it from outside; `listen` makes signals set it."""

    file: ServeFile
    dashboard_port: int
    say: Say
    stop: threading.Event
    listen: Callable[[], None]
    metrics_port: int | None = None

    def run(self) -> None:
        """Start, tell where things are, stay until `stop` is set, end everything. Raises LaunchFailed."""
        began = time.monotonic()
        self._check()
        self.say("Starting Ray ...")
        os.environ.update(proxy.environment(self.file.settings.limits))
        os.environ.update(own_ray.tracing_environment(self.file.raw.get("tracing_config")))
        with own_ray.started(self.dashboard_port, self.metrics_port) as session:
            self.listen()  # once more: Ray has put its own handler of SIGTERM in place
            try:
                self._check_gpus()
                if not self.stop.is_set():
                    self._deploy(session)
                ready = self._wait_until_ready(session)
                if ready:
                    session.remember_processes()
                    if (told := warning_of(self.file)) is not None:
                        self.say(told)
                    self.say(self._welcome(session, time.monotonic() - began))
                    self.stop.wait()
            except LaunchFailed:
                session.keep = True
                raise
            self.say("Stopping; requests under way may finish (Ctrl-C again: at once) ...")
            if ready:
                self._drain()
        self.say("Stopped; every process is gone.")

    def _check(self) -> None:
        """What can be known before anything starts. Raises LaunchFailed."""
        for host, port, option in (
            (self.file.host, self.file.port, "--port"),
            ("127.0.0.1", self.dashboard_port, "--dashboard-port"),
            (self.file.host, self.metrics_port, "--metrics-port"),
        ):
            if port is not None and not own_ray.port_is_free(host, port):
                raise LaunchFailed(_in_use(host, port, option))
        check_formats(self.file.settings.limits)
        check_model(self.file.settings.model)
        check_keys(self.file.settings.access)
        check_cache(self.file.settings.cache)
        check_jobs(self.file.settings.jobs)
        check_profiles(self.file.settings)
        check_canary(self.file.settings)

    def _check_gpus(self) -> None:
        import ray

        wanted, there = self.file.gpus_wanted, ray.cluster_resources().get("GPU", 0.0)
        if wanted > there:
            raise LaunchFailed(f"The config asks for {wanted:g} GPU a replica, but Ray sees {there:g} on this machine.")

    def _deploy(self, session: own_ray.Session) -> None:
        self.say(f"Deploying {self.file.name} ...")
        try:
            answer = httpx2.put(
                f"http://127.0.0.1:{self.dashboard_port}/api/serve/applications/",
                json=self.file.raw,
                headers={"Authorization": f"Bearer {session.token}"},
                timeout=60,
                trust_env=False,
            )
        except httpx2.TransportError as exc:
            raise self._failed(session, f"{type(exc).__name__}: Ray's dashboard does not answer") from exc
        if answer.is_error:
            raise self._failed(session, answer.text)

    def _wait_until_ready(self, session: own_ray.Session) -> bool:
        """True once a comparison has passed inside the service; False if told to stop before. Raises LaunchFailed."""
        from ray import serve

        next_word = time.monotonic() + PROGRESS_S
        while not self.stop.wait(POLL_S):
            status = serve.status().applications.get(self.file.name)
            if status is None:
                continue
            if status.status == "DEPLOY_FAILED":
                messages = [status.message, *(stage.message for stage in status.deployments.values())]
                raise self._failed(session, "\n".join(messages))
            if status.status == "RUNNING" and self._answers(status):
                return True
            if time.monotonic() >= next_word:
                next_word += PROGRESS_S
                self.say(_waiting_for(status))
        return False

    def _answers(self, status: ApplicationStatusOverview) -> bool:
        """Whether the door is open, and behind it every ingress replica has seen a comparison pass: Serve's proxy asks
        any of them, and one that is ready says nothing of the others."""
        from ray import serve
        from ray.exceptions import RayError
        from ray.serve.exceptions import RayServeException

        if not _is_ready(self.file.url):
            return False
        try:
            said = serve.get_app_handle(self.file.name).broadcast("is_ready").results(timeout_s=ANSWER_S)
        except (RayError, RayServeException, TimeoutError):
            return False
        return all(said) and len(said) == status.deployments[INGRESS].replica_states.get("RUNNING")

    def _drain(self) -> None:
        """Have every ingress replica refuse what is new, and wait until it has answered what it has begun.

        Serve's own shutdown ends its HTTP proxy at once, and with it every request under way.
        """
        from ray import serve
        from ray.exceptions import RayError
        from ray.serve.exceptions import RayServeException

        give_up_at = time.monotonic() + self.file.settings.limits.max_processing_timeout_s
        try:
            ingress = serve.get_app_handle(self.file.name)
            while sum(ingress.broadcast("drain").results(timeout_s=ANSWER_S)) and time.monotonic() < give_up_at:
                time.sleep(POLL_S)
            time.sleep(LAST_BYTES_S)
        except (RayError, RayServeException, TimeoutError):
            return  # nothing serves there: nothing to wait for
        except KeyboardInterrupt:
            self.say("Stopping at once ...")

    def _failed(self, session: own_ray.Session, message: str) -> LaunchFailed:
        details = session.folder / "start_failed.log"
        details.write_text(message, encoding="utf-8")
        return LaunchFailed(f"{cause(message)}\nDetails: {details} (and {session.logs})")

    def _welcome(self, session: own_ray.Session, took_s: float) -> str:
        url, model = self.file.url, self.file.settings.model
        engine = f"{model.engine} {model.name or ''}".strip() if model.is_asked else "no model, measurement only"
        return "\n".join(
            (
                f"PairLens is ready after {took_s:.0f} s ({engine}).",
                "",
                f"  Page       {url}/",
                f"  API        {url}/v1/compare",
                *((f"  Agents     {url}/mcp",) if self.file.settings.mcp.is_served else ()),
                f"  Docs       {url}/docs",
                f"  Dashboard  http://127.0.0.1:{self.dashboard_port} (asks for a token: cat {session.token_file})",
                f"  Logs       {session.logs} (deleted on exit)",
                "",
                f"  Try        curl -F reference=@a.png -F candidate=@b.png {url}/v1/compare",
                f"             {_command()} compare a.png b.png --server {url}",
                "  Stop       Ctrl-C",
            )
        )


def serve(file: ServeFile, *, dashboard_port: int | None, metrics_port: int | None = None, say: Say) -> None:
    """Serve `file` in the foreground until Ctrl-C or SIGTERM. Raises LaunchFailed.

    `dashboard_port` None: Ray's usual one, or the next that is free, so that a second service can stand beside a first.
    """
    # Serve's client logs each step; the files in the session's folder have them too.
    for name in ("ray", "ray.serve"):
        logging.getLogger(name).setLevel(logging.ERROR)
    stop = threading.Event()
    with claimed_dashboard_port(dashboard_port, service_port=file.port, say=say) as port, _signals(stop) as listen:
        try:
            Launch(file, port, say, stop, listen, metrics_port).run()
        except own_ray.RayFailed as exc:
            raise LaunchFailed(str(exc)) from exc
        except SystemExit:  # what Ray's own handler of SIGTERM raises while it starts; all is ended by now
            say("Stopped; every process is gone.")


@contextmanager
def claimed_dashboard_port(
    named: int | None, *, service_port: int, say: Say, usual: int = own_ray.DASHBOARD_PORT
) -> Iterator[int]:
    """Ours for the block: the one that is `named`; else the usual one without a word, or another with one. Raises
    LaunchFailed."""
    ports = own_ray.dashboard_ports(usual, but=service_port) if named is None else (named,)
    with own_ray.claimed(ports) as port:
        if port is None and named is not None:
            raise LaunchFailed(_in_use("127.0.0.1", named, "--dashboard-port"))
        if port is None:
            last = usual + own_ray.NUM_PORTS_TRIED - 1
            raise LaunchFailed(f"No port from {usual} to {last} is free for the dashboard: name one, --dashboard-port.")
        if named is None and port != usual:
            say(f"Port {usual} is taken: Ray's dashboard listens on {port}.")
        yield port


def warning_of(file: ServeFile) -> str | None:
    """What stands above all else on the terminal of a service that anybody may use."""
    found = exposure.warning(file.host, file.settings.access)
    return None if found is None else f"WARNING: {found}"


def _in_use(host: str, port: int, option: str) -> str:
    return f"Port {port} on {host} is already in use; free it, or choose another with {option}."


def check_model(settings: ModelSettings) -> None:
    """Whether the model of `settings` could be loaded, in seconds. Raises LaunchFailed."""
    try:
        vlm.check(settings)
    except vlm.ModelUnavailable as exc:
        raise LaunchFailed(str(exc)) from exc


def check_formats(limits: Limits) -> None:
    """Whether every format that is listed can be read here. Raises LaunchFailed."""
    try:
        imaging.check_formats(limits.formats)
    except imaging.HeicUnavailable as exc:
        raise LaunchFailed(str(exc)) from exc


def check_keys(access: Access) -> None:
    """Whether the file of API keys, if one is named, can be used. Raises LaunchFailed."""
    if access.api_keys_file is None:
        return
    try:
        KeyRing.load(Path(access.api_keys_file))
    except KeysUnreadable as exc:
        raise LaunchFailed(str(exc)) from exc


def check_cache(settings: CacheSettings) -> None:
    """Whether the Redis that is named, if one is, could be used, without asking it. Raises LaunchFailed."""
    try:
        open_reports(settings)
    except CacheUnavailable as exc:
        raise LaunchFailed(str(exc)) from exc


def check_jobs(settings: JobSettings) -> None:
    """Whether the folder for jobs, if they are on and it lies on this machine, can be written, and the secret of their
    webhooks read. Raises LaunchFailed."""
    if not settings.enabled:
        return
    check_webhooks(settings.webhooks)
    if "://" in settings.folder:
        return
    folder = Path(settings.folder).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as exc:
        raise LaunchFailed(f"Jobs can't be kept in {folder} (`args.jobs.folder`): {exc.strerror}.") from exc


def check_profiles(settings: Settings) -> None:
    """Whether the files of profiles can be used. Raises LaunchFailed."""
    try:
        with_profiles(settings)
    except ProfileWrong as exc:
        raise LaunchFailed(str(exc)) from exc


def check_canary(settings: Settings) -> None:
    """Whether the canary, if it is on, has pairs, a baseline and a profile that can be used. Raises LaunchFailed."""
    if settings.canary.pairs is None:
        return
    from serve_app.serving import canary

    try:
        canary.labelled(settings.canary)
        canary.baseline(settings.canary)
        known = with_profiles(settings).profiles
    except (canary.CanaryUnusable, ProfileWrong) as exc:
        raise LaunchFailed(str(exc)) from exc
    if settings.canary.profile is not None and settings.canary.profile not in known:
        raise LaunchFailed(f"There is no profile {settings.canary.profile} (`args.canary.profile`).")


def check_webhooks(settings: WebhookSettings) -> None:
    """Raises LaunchFailed."""
    if not settings.enabled:
        return
    from serve_app.jobs.courier import WebhooksUnavailable, master_key

    try:
        master_key(settings)
    except WebhooksUnavailable as exc:
        raise LaunchFailed(str(exc)) from exc


def cause(message: str) -> str:
    """One sentence from what Serve says of a failed start: the last exception that it quotes, without its trace.

    >>> cause("Traceback ...\\nRuntimeError: Traceback ...\\nValueError: the folder is empty")
    'The service could not start: the folder is empty (ValueError).'
    """
    raised = re.findall(r"^(?:[\w.]+\.)?([A-Z]\w+): (?!Traceback)(\S.*)$", message, re.MULTILINE)
    if not raised:
        return "The service could not start."
    kind, text = raised[-1]
    if kind in (vlm.ModelUnavailable.__name__, CacheUnavailable.__name__, imaging.HeicUnavailable.__name__):
        return str(text)
    return f"The service could not start: {text.rstrip('.')} ({kind})."


def _command() -> str:
    """How this program was called, as it can be called again from here."""
    called = Path(sys.argv[0])
    if called.name != "pairlens":
        return "pairlens"
    return str(called.relative_to(Path.cwd()) if called.is_relative_to(Path.cwd()) else called)


def _is_ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == httpx2.codes.OK
    except httpx2.TransportError:
        return False


def _waiting_for(status: ApplicationStatusOverview) -> str:
    starting = [name for name, stage in status.deployments.items() if stage.status != "HEALTHY"]
    return f"Waiting for {', '.join(starting) or 'the first comparison'} ..."


@contextmanager
def _signals(stop: threading.Event) -> Iterator[Callable[[], None]]:
    """Ctrl-C and SIGTERM set `stop`, and only that: an exception in the middle of Ray's start would orphan
    processes. A second one cuts off the wait for requests under way. Yields what puts the handlers in place."""

    def on_signal(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    def listen() -> None:
        for kind in kinds:
            signal.signal(kind, on_signal)

    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.getsignal(kind) for kind in kinds}
    listen()
    try:
        yield listen
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
