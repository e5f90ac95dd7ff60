"""Commands of the docs that no test here runs, each with its reason, and what of a command each reason is true of.
Whoever adds one must find a reason that holds: `test_left_out.py` asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Words = list[str]


@dataclass(frozen=True)
class Reason:
    why: str
    is_true_of: Callable[[Words], bool]


def _begins(*programs: str) -> Callable[[Words], bool]:
    return lambda words: words[0] in programs


def _makes(*targets: str) -> Callable[[Words], bool]:
    return lambda words: words[0] == "make" and words[1] in targets and not any("MODEL=" in word for word in words)


CONTAINERS = Reason("needs a container engine or a cluster of Kubernetes", _begins("docker", "kubectl", "helm"))
ROOTS = Reason(
    "changes the machine outside the folder", lambda words: words[0] == "cp" and words[2].startswith("/etc/")
)
STAYS = Reason(
    "serves until it is ended: tests/operating/test_launch.py starts and ends it",
    lambda words: words[:2] == ["pairlens", "serve"] or _makes("serve")(words),
)
DEPLOYS = Reason(
    "needs a Ray cluster of several machines: tests/cli/test_deploy.py deploys to one of its own",
    lambda words: words[:2] == ["pairlens", "deploy"],
)
DOWNLOADS = Reason("downloads a model", lambda words: any(word.startswith("MODEL=Qwen/") for word in words))
ITSELF = Reason("is the check that this test is a part of, or takes minutes", _makes("test", "lint", "format"))

# By their words, comments left out.
LEFT_OUT: Mapping[str, Reason] = {
    "docker build -f deployment/Dockerfile -t pairlens:0.1.0-cpu .": CONTAINERS,
    "docker build -f deployment/Dockerfile -t pairlens:0.1.0-gpu --build-arg VARIANT=gpu .": CONTAINERS,
    "docker run --rm --init --shm-size 2g -p 127.0.0.1:8000:8000 "
    "-v jobs:/home/pairlens/.local/state/pairlens pairlens:0.1.0-cpu": CONTAINERS,
    "docker run --rm --init --shm-size 2g --gpus all -p 127.0.0.1:8000:8000 -v models:/home/pairlens/models "
    "-v jobs:/home/pairlens/.local/state/pairlens pairlens:0.1.0-gpu "
    "pairlens serve --host 0.0.0.0 --model Qwen/Qwen3-VL-4B-Instruct": CONTAINERS,
    "docker compose -f deployment/compose.yaml up --build --detach": CONTAINERS,
    "docker compose -f deployment/compose.yaml -f deployment/compose.gpu.yaml up --build --detach": CONTAINERS,
    "cp deployment/nginx.conf /etc/nginx/conf.d/pairlens.conf && nginx -s reload": ROOTS,
    "kubectl create secret generic huggingface --from-literal token=hf_...": CONTAINERS,
    "kubectl create secret generic pairlens-postgres --from-literal password=...": CONTAINERS,
    "kubectl create secret generic pairlens-keys --from-file keys": CONTAINERS,
    "kubectl create secret generic pairlens-webhook --from-literal secret=whsec_...": CONTAINERS,
    "helm install pairlens deployment/chart --set image.repository=registry.internal/pairlens": CONTAINERS,
    "helm upgrade pairlens deployment/chart -f my-values.yaml": CONTAINERS,
    "pairlens deploy --address http://ray-head:8265": DEPLOYS,
    "pairlens deploy --address http://ray-head:8265 --dry-run": DEPLOYS,
    "kubectl get rayservice pairlens": CONTAINERS,
    "kubectl port-forward service/pairlens-serve-svc 8000:8000": CONTAINERS,
    "make serve": STAYS,
    "pairlens serve --port 8000": STAYS,
    "make serve MODEL=Qwen/Qwen3-VL-4B-Instruct": DOWNLOADS,
    "make test": ITSELF,
    "make test PYTEST_OPTIONS=-k name": ITSELF,
    "make lint": ITSELF,
    "make format": ITSELF,
}
