"""The composition root: settings in, the deployment graph out.
The only file with Serve options and `.bind`; what an operator sets in `serve_config.yaml` wins over them."""

# No `from __future__ import annotations` here: Serve reads the type of `build`'s argument to validate `args`,
# and a string in its place would hand us a plain dict.
import ray
from ray import serve
from ray.serve.config import RequestRouterConfig

from serve_app.serving.deployments import names
from serve_app.serving.deployments.stages import Ingress, Preprocessor, VLModel
from serve_app.settings import ModelSettings, Settings
from serve_app.storage.profiles import with_profiles

# Readiness promises to notice a lost stage within 5 s, and Serve starts a replacement only once it has noticed:
# with Ray's 10 s a killed replica was back after 10 s, with this after 4 to 5 (benchmarks/results/chaos.md).
HEALTH_CHECK_PERIOD_S = 1


def build(settings: Settings) -> serve.Application:
    """Ingress over Preprocessor and VLModel, and Jobs beside them where they are on.

    Serve validates `args` of the config file as `Settings`. Files of profiles are read here, once: all replicas have
    the same. Raises `ProfileWrong`.
    """
    return graph(with_profiles(settings))


def graph(settings: Settings, *, model_replicas: int = 1, ingress_replicas: int = 1) -> serve.Application:
    """The same with numbers of replicas, where no config file says them."""
    preprocessor = serve.deployment(Preprocessor, name=names.PREPROCESSOR).options(
        max_ongoing_requests=settings.preprocessing.pairs_at_once,
        health_check_period_s=HEALTH_CHECK_PERIOD_S,
    )
    model = serve.deployment(VLModel, name=names.VL_MODEL).options(
        # One job a replica on a device of its own. This alone doesn't keep two jobs off one GPU: see device.py.
        max_ongoing_requests=settings.model.comparisons_at_once,
        num_replicas=model_replicas,
        # The default back-off (25 to 500 ms) leaves the device idle between queued requests: 34 to 52 % of
        # its throughput once clients queue.
        request_router_config=RequestRouterConfig(initial_backoff_s=0.005, backoff_multiplier=1.5, max_backoff_s=0.02),
        health_check_period_s=HEALTH_CHECK_PERIOD_S,
        ray_actor_options={"num_gpus": gpus_per_replica(settings.model)},
    )
    # The default of 5 would queue requests here, before the model's own queue limit can refuse any.
    ingress = serve.deployment(Ingress, name=names.INGRESS).options(
        max_ongoing_requests=200, num_replicas=ingress_replicas, health_check_period_s=HEALTH_CHECK_PERIOD_S
    )
    return ingress.bind(settings, preprocessor.bind(settings), model.bind(settings), **_jobs(settings))


def _jobs(settings: Settings) -> dict[str, serve.Application]:
    """The deployment that owns the queue of jobs: one replica, or two would hold each other's jobs for lost ones."""
    if not settings.jobs.enabled:
        return {}
    from serve_app.serving.deployments.job_runner import Jobs  # with the database and its queue

    jobs = serve.deployment(Jobs, name=names.JOBS).options(
        num_replicas=1, health_check_period_s=HEALTH_CHECK_PERIOD_S, ray_actor_options={"num_cpus": 0}
    )
    return {"jobs": jobs.bind(settings)}


def gpus_per_replica(settings: ModelSettings) -> float:
    """One GPU a replica where the cluster has one now and the engine can use it; the operator's word otherwise."""
    if settings.gpus_per_replica != "auto":
        return settings.gpus_per_replica
    uses_gpu = settings.engine == "transformers" and settings.device != "cpu"
    return 1.0 if uses_gpu and ray.cluster_resources().get("GPU", 0) >= 1 else 0.0
