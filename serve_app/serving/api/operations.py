"""What operators and load balancers ask: alive, ready, version, limits."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from serve_app import __version__
from serve_app.comparison import identity
from serve_app.serving.admission import Admission
from serve_app.serving.api import envelope
from serve_app.serving.api.arrival import arrival
from serve_app.serving.readiness import Readiness
from serve_app.settings import Settings


def add_operations(app: FastAPI, settings: Settings, readiness: Readiness, admission: Admission) -> None:
    @app.get("/livez", summary="Is this process alive?", responses=envelope.responses())
    async def livez(request: Request) -> Response:
        return envelope.success({"status": "alive"}, arrival(request).request_id)

    @app.get("/readyz", summary="Would a comparison sent now be answered?", responses=envelope.responses())
    async def readyz(request: Request) -> Response:
        admission.refuse_if_draining()
        await readiness.check()
        return envelope.success({"status": "ready"}, arrival(request).request_id)

    @app.get("/version", summary="Which software and which model answer here?", responses=envelope.responses())
    async def version(request: Request) -> Response:
        model = identity.configured(settings.model)
        running = {"engine": model.engine, "name": model.name, "revision": model.revision}
        data = {"name": "pairlens", "version": __version__, "model": running}
        return envelope.success(data, arrival(request).request_id)

    @app.get("/v1/limits", summary="What this service accepts", responses=envelope.responses(*envelope.KEYED))
    async def limits(request: Request) -> Response:
        data = {
            **settings.limits.model_dump(mode="json"),
            "image_urls": settings.image_urls.enabled,  # its hosts may be of the operator's own network: not told
            "profiles": sorted(settings.profiles),
        }
        return envelope.success(data, arrival(request).request_id)
