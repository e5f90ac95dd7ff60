"""The Helm chart with each of its value files, rendered by Helm's own engine: what a cluster would be sent is whole.
Needs no cluster; KubeRay's own definition is used where it lies beside the checkout."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from serve_app import __version__
from serve_app.operating import serve_file
from serve_app.serving import proxy
from tests.operating.test_deployment_files import SHIPPED, leaves
from tests.rigs import chart

helm = pytest.importorskip("helm_python", reason="helm-python-sdk has no build for this system")
kubernetes = pytest.importorskip("kubernetes_validate")

# Beside a checkout, or beside the folder of a second one.
DEFINITIONS = [above / "shared/kuberay/rayservice-crd.yaml" for above in chart.ROOT.parents[:2]]
DEFINITION = next((path for path in DEFINITIONS if path.exists()), None)
needs_kuberay = pytest.mark.skipif(DEFINITION is None, reason="KubeRay's definition isn't beside this checkout")

# Where a cluster's Serve file may differ from that of one machine, whatever the values say.
ALWAYS = {
    "proxy_location": "a door on each worker",
    "http_options.host": "a pod is reached from outside",
    "applications.pairlens.args.jobs": "they need a PostgreSQL and a volume",
    "applications.pairlens.args.model.gpus_per_replica": "not what the cluster has at that moment",
    "applications.pairlens.deployments.Jobs": "not on the head, or not at all",
    "applications.pairlens.deployments.Ingress.ray_actor_options": "not on the head",
    "applications.pairlens.deployments.Preprocessor.ray_actor_options": "a whole core",
    "applications.pairlens.deployments.Preprocessor.autoscaling_config.max_replicas": "more cores",
    "applications.pairlens.deployments.VLModel.ray_actor_options": "a GPU, or a place that is not the head",
}
# Where it may, because of one value.
BECAUSE = {
    "gpu": {
        "applications.pairlens.deployments.VLModel.max_surge_percent",
        "applications.pairlens.args.model.compile_cache",
    },
    "openai": {"applications.pairlens.deployments.VLModel.autoscaling_config.target_ongoing_requests"},
    "apiKeys": {"applications.pairlens.args.access.api_keys_file"},
    "redisUrl": {"applications.pairlens.args.cache.redis_file"},
    "modelKey": {"applications.pairlens.args.model.server.key_file"},
}


@functools.cache
def _definition() -> Any:
    assert DEFINITION is not None
    loaded = yaml.load(DEFINITION.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (version,) = (each for each in loaded["spec"]["versions"] if each["name"] == "v1")
    return jsonschema.Draft7Validator(strict(version["schema"]["openAPIV3Schema"]))


def strict(schema: Any) -> Any:
    """The same, and a name that it does not know is refused: the API server would drop it in silence."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(each) for key, each in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        made["additionalProperties"] = False
    return made


def wrong(service: dict[str, Any]) -> list[str]:
    """What KubeRay's definition says against a RayService."""
    body = {key: each for key, each in service.items() if key != "metadata"}
    return [f"{each.json_path}: {each.message}" for each in _definition().iter_errors(body)]


def service_of(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (service,) = (each for each in objects if each["kind"] == "RayService")
    return service


def pods(service: dict[str, Any]) -> dict[str, dict[str, Any]]:
    cluster = service["spec"]["rayClusterConfig"]
    groups = {group["groupName"]: group["template"] for group in cluster["workerGroupSpecs"]}
    return {"head": cluster["headGroupSpec"]["template"], **groups}


def config_of(service: dict[str, Any]) -> dict[str, Any]:
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    assert isinstance(config, dict)
    return config


def rendered(name: str) -> list[dict[str, Any]]:
    return chart.objects(chart.values(name))


def plain_file(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((chart.ROOT / "deployment" / name).read_text(encoding="utf-8")))


SOURCES = {**{name: functools.partial(rendered, name) for name in chart.names()}}
SOURCES |= {name: functools.partial(plain_file, name) for name in chart.PLAIN}


# --- held against those who will read it


def test_there_are_values_for_each_way_to_start() -> None:
    assert set(chart.names()) == {"available", "everything", "external", "gpu", "measurement", "plain"}


@pytest.mark.parametrize("name", SOURCES)
@needs_kuberay
def test_kuberay_knows_every_field(name: str) -> None:
    assert wrong(service_of(SOURCES[name]())) == []


@pytest.mark.parametrize("name", SOURCES)
@needs_kuberay
def test_a_misspelt_field_is_found_wherever_it_is(name: str) -> None:
    service = service_of(SOURCES[name]())
    worker = ("spec", "rayClusterConfig", "workerGroupSpecs", 0, "template", "spec", "containers", 0)
    for place in ((), ("spec",), ("spec", "rayClusterConfig"), ("spec", "rayClusterConfig", "headGroupSpec"), worker):
        spoilt = copy.deepcopy(service)
        inner: Any = spoilt
        for step in place:
            inner = inner[step]
        inner["terminationGracePeriodSecond"] = 1
        (told,) = wrong(spoilt)
        assert "terminationGracePeriodSecond" in told


@pytest.mark.parametrize("name", SOURCES)
def test_kubernetes_knows_every_field_of_the_rest(name: str) -> None:
    objects = SOURCES[name]()
    of_kubernetes = [each for each in objects if each["apiVersion"] in ("v1", "policy/v1", "networking.k8s.io/v1")]
    templates = pods(service_of(objects)).values()
    of_kubernetes.extend({"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(pod)} for pod in templates)

    for each in of_kubernetes:
        kubernetes.validate(each, kubernetes.latest_version(), strict=True)
        spoilt = {**each, "spec": {**each["spec"], "acessModes": []}} if "spec" in each else {**each, "dat": {}}
        with pytest.raises(kubernetes.ValidationError):
            kubernetes.validate(spoilt, kubernetes.latest_version(), strict=True)
    assert {each["kind"] for each in objects} - {each["kind"] for each in of_kubernetes} <= {
        *("RayService", "PodMonitor", "PrometheusRule"),
    }


@pytest.mark.parametrize("name", chart.PLAIN)
def test_the_files_for_those_without_helm_are_what_the_chart_makes(name: str) -> None:
    written = (chart.ROOT / "deployment" / name).read_text(encoding="utf-8")
    assert written == chart.plain(name), "python -m tests.rigs.chart writes it anew"


def test_helm_finds_nothing_wrong_with_the_chart() -> None:
    told = helm.lint(chart.CHART, strict=True)
    assert told["errors"] == []
    assert [each["error"] for each in told["messages"] if each["severity"] > 1] == []


def test_a_packed_chart_is_whole(tmp_path: Path) -> None:
    """Files that are links in the repository: a package holds what they point at."""
    archive = helm.package(chart.CHART, destination=tmp_path)
    with helm.Chart.load(archive) as packed:
        made = packed.render(chart.values("everything"), name="pairlens", namespace="default")
    assert made["pairlens/templates/rayservice.yaml"] == chart.render(chart.values("everything"))["rayservice.yaml"]


# --- the Serve file


@pytest.mark.parametrize("name", chart.names())
def test_the_serve_file_is_one_that_the_service_takes(name: str) -> None:
    file = serve_file.check(config_of(service_of(rendered(name))))
    assert file.settings.jobs.enabled == ("jobs" in chart.values(name))


@pytest.mark.parametrize("name", [*chart.names(), None])
def test_the_serve_file_differs_from_the_shipped_one_only_where_it_must(name: str | None) -> None:
    given = {} if name is None else chart.values(name)
    here, there = dict(leaves(SHIPPED)), dict(leaves(config_of(service_of(chart.objects(given)))))
    differing = {path for path in here.keys() | there.keys() if here.get(path) != there.get(path)}

    asked = set(of_values(given.get("serve", {})))
    because = {"gpu": "gpu" in given, "openai": given.get("serve", {}).get("args", {}).get("model", {}).get("server")}
    because |= dict.fromkeys(given.get("secrets", {}), True)
    may = {*ALWAYS, *asked, *(path for reason, paths in BECAUSE.items() if because.get(reason) for path in paths)}
    assert [path for path in sorted(differing) if not any(f"{path}.".startswith(f"{one}.") for one in may)] == []
    for path in (*ALWAYS, *asked):
        assert any(f"{one}.".startswith(f"{path}.") for one in differing) or path in asked, f"{path} doesn't differ"


def of_values(serve: dict[str, Any]) -> Iterator[str]:
    for key, inner in serve.items():
        where = key if key in ("http_options", "logging_config", "tracing_config") else f"applications.pairlens.{key}"
        yield from (f"{where}.{path}" for path, _ in leaves(inner))


@pytest.mark.parametrize("name", chart.names())
def test_what_the_values_say_of_the_service_wins(name: str) -> None:
    serve = chart.values(name).get("serve", {})
    config = config_of(service_of(rendered(name)))
    (application,) = config["applications"]
    stages = {stage["name"]: stage for stage in application["deployments"]}

    assert held(serve.get("args", {}), application["args"])
    assert held(serve.get("deployments", {}), stages)
    assert held(serve.get("http_options", {}), config["http_options"])


def held(asked: Any, got: Any) -> bool:
    if isinstance(asked, dict):
        return all(held(inner, got[key]) for key, inner in asked.items())
    return bool(asked == got)


def test_zero_and_nothing_win_too() -> None:
    given = {"args": {"cache": {"report_cache_bytes": 0}}, "deployments": {"Preprocessor": {"num_replicas": 3}}}
    given["deployments"]["Preprocessor"]["autoscaling_config"] = None  # type: ignore[assignment]
    config = config_of(service_of(chart.objects({"serve": given})))
    (application,) = config["applications"]

    assert application["args"]["cache"]["report_cache_bytes"] == 0
    assert serve_file.check(config)
    assert application["deployments"][1]["autoscaling_config"] is None


# --- values that are refused


def mappings(value: Any, where: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every place of values.yaml that has names of ours."""
    if isinstance(value, dict):
        yield where
        for key, inner in value.items():
            if key not in ("labels", "annotations", "nodeSelector"):
                yield from mappings(inner, (*where, key))


@pytest.mark.parametrize(
    "place", list(mappings(yaml.safe_load((chart.CHART / "values.yaml").read_text(encoding="utf-8")))), ids=".".join
)
def test_a_name_that_no_one_knows_is_refused(place: tuple[str, ...]) -> None:
    given: dict[str, Any] = {"mispelt": 1}
    for step in reversed(place):
        given = {step: given}
    with pytest.raises(helm.HelmValuesError, match="mispelt"):
        chart.render(given)


@pytest.mark.parametrize(
    "given",
    [
        {"serve": {"args": {"limits": {"max_body_byte": 1}}}},
        {"serve": {"args": {"model": {"server": {"url": "http://x"}}}}},
        {"serve": {"deployments": {"VLModel": {"autoscaling_config": {"max_replica": 1}}}}},
        {"serve": {"deployments": {"VLModel": {"ray_actor_options": {"gpus": 1}}}}},
        {"serve": {"args": {"limits": {"max_body_bytes": -1}}}},
        {"cpu": {"env": [{"nam": "TZ"}]}},
        {"cpu": {"volumeMounts": [{"name": "x", "mountPath": "/x", "readonly": True}]}},
        {"gpu": {"tolerations": [{"keys": "x"}]}},
        {"networkPolicy": {"serveFrom": [{"podSelectors": {}}]}},
        {"networkPolicy": {"serveFrom": []}},
        {"jobs": {"database": {"url": "postgresql://pairlens:secret@db/pairlens"}}},
        {"cpu": {"resources": {"cpu": 4, "memory": "10 Gi"}}},
        {"upgrade": {"strategy": "Rolling"}},
        {"disruption": {"cpu": "50%"}},
    ],
    ids=lambda given: json.dumps(given)[:60],
)
def test_what_no_cluster_would_take_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(helm.HelmValuesError, match="schema"):
        chart.render(given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"serve": {"args": {"model": {"engine": "transformers"}}}}, "serve.args.model.name is missing"),
        (
            {"serve": {"args": {"model": {"engine": "openai", "name": "x"}}}},
            "serve.args.model.server.base_url is missing",
        ),
        ({"gpu": {"enabled": True}}, "gpu.enabled is true, but serve.args.model.engine is none"),
        ({"serve": {"args": {"jobs": {"enabled": True}}}}, "serve.args.jobs.enabled is jobs.enabled here"),
        ({"jobs": {"enabled": True}}, "jobs.database.url is missing"),
        ({"secrets": {"webhook": {"name": "x"}}}, "secrets.webhook is set, but jobs.enabled is not"),
        ({"highAvailability": {"enabled": True}}, "highAvailability.redis.address is missing"),
        ({"upgrade": {"strategy": "NewClusterWithIncrementalUpgrade"}}, "gatewayClassName is missing"),
        ({"ingress": {"enabled": True}}, "ingress.host is missing"),
    ],
)
def test_what_cannot_work_together_is_refused_with_its_reason(given: dict[str, Any], told: str) -> None:
    with pytest.raises(helm.HelmError, match=told):
        chart.render(given)


def test_the_schema_has_the_names_that_the_code_has() -> None:
    text = chart.SCHEMA.read_text(encoding="utf-8")
    assert text == chart.written(chart.schema()), "python -m tests.rigs.chart writes it anew"


def test_proxies_are_told_how_to_trace_and_only_where_it_is_asked_for() -> None:
    def told(tracing: dict[str, Any]) -> list[dict[str, str]]:
        given = chart.values("gpu")
        given["serve"] = {**given["serve"], "tracing_config": tracing}
        found = pods(service_of(chart.objects(given)))
        workers = [pod["spec"]["containers"][0]["env"] for group, pod in found.items() if group != "head"]
        return [{each["name"]: each["value"] for each in env if "TRACING" in each["name"]} for env in workers]

    exporter = "serve_app.serving.deployments.tracing:to_collector"
    asked = {"enabled": True, "exporter_import_path": exporter, "sampling_ratio": 0.05}
    wanted = {"RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH": exporter, "RAY_SERVE_TRACING_SAMPLING_RATIO": "0.05"}
    assert told(asked) == [wanted, wanted]
    assert told({}) == told({**asked, "enabled": False}) == [{}, {}]


# --- what belongs together


@pytest.mark.parametrize("name", SOURCES)
def test_pods_have_what_they_ask_for(name: str) -> None:
    objects = SOURCES[name]()
    service = service_of(objects)
    claims = {each["metadata"]["name"] for each in objects if each["kind"] == "PersistentVolumeClaim"}
    config = serve_file.check(config_of(service))
    for group, pod in pods(service).items():
        (container,) = pod["spec"]["containers"]
        mounts, volumes = (
            {each["name"] for each in some} for some in (container["volumeMounts"], pod["spec"]["volumes"])
        )
        assert mounts == volumes
        assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/tmp", "/home/pairlens", "/dev/shm"}
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["requests"] == container["resources"]["limits"]
        named = {
            volume["persistentVolumeClaim"]["claimName"]
            for volume in pod["spec"]["volumes"]
            if "persistentVolumeClaim" in volume
        }
        assert named <= {*claims, "checkpoints"}
        env = {each["name"]: each.get("value") for each in container.get("env", [])}
        if group != "head":
            assert proxy.environment(config.settings.limits).items() <= env.items()


@pytest.mark.parametrize("name", chart.names())
def test_files_of_secrets_lie_where_the_service_looks(name: str) -> None:
    service = service_of(rendered(name))
    settings = serve_file.check(config_of(service)).settings
    asked = {
        "apiKeys": settings.access.api_keys_file,
        "redisUrl": settings.cache.redis_file,
        "webhook": settings.jobs.webhooks.secret_file,
        "modelKey": settings.model.server.key_file,
    }
    (container,) = pods(service)["cpu"]["spec"]["containers"]
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    secrets = {
        each["name"]: each["secret"]["secretName"]
        for each in pods(service)["cpu"]["spec"]["volumes"]
        if "secret" in each
    }
    given = chart.values(name).get("secrets", {})
    for secret, path in asked.items():
        assert (path is not None) == (secret in given)
        if path is not None:
            folder, _, key = path.rpartition("/")
            assert secrets[mounted[folder]] == given[secret]["name"]
            assert key == chart.defaults()["secrets"][secret]["key"]


@pytest.mark.parametrize("name", chart.names())
def test_every_selector_finds_its_pods_and_no_other(name: str) -> None:
    objects = rendered(name)
    labels = {group: pod["metadata"]["labels"] for group, pod in pods(service_of(objects)).items()}
    for each in objects:
        if each["kind"] == "PodDisruptionBudget":
            asked = each["spec"]["selector"]["matchLabels"].items()
            assert [group for group, has in labels.items() if asked <= has.items()] == [
                each["metadata"]["name"].rpartition("-")[2]
            ]
        if each["kind"] in ("NetworkPolicy", "PodMonitor"):
            asked = (each["spec"].get("podSelector") or each["spec"]["selector"])["matchLabels"].items()
            assert all(asked <= has.items() for has in labels.values())
    other = {group: pod["metadata"]["labels"] for group, pod in pods(service_of(chart.objects({}, "other"))).items()}
    assert other["cpu"]["app.kubernetes.io/instance"] != labels["cpu"]["app.kubernetes.io/instance"]


@pytest.mark.parametrize("name", chart.names())
def test_cpu_pods_have_room_for_all_cpu_replicas_and_gpus_for_all_models(name: str) -> None:
    service = service_of(rendered(name))
    groups = {group["groupName"]: group for group in service["spec"]["rayClusterConfig"]["workerGroupSpecs"]}
    stages = {stage["name"]: stage for stage in config_of(service)["applications"][0]["deployments"]}
    cores = wanted = 0.0
    for stage in stages.values():
        most = (stage.get("autoscaling_config") or {}).get("max_replicas", stage.get("num_replicas"))
        wanted += most * stage["ray_actor_options"]["num_cpus"]
        options = stage["ray_actor_options"]
        assert options["num_cpus"] or options["num_gpus"], f"{stage['name']} asks for nothing and could go to the head"
    cores = groups["cpu"]["maxReplicas"] * float(
        pods(service)["cpu"]["spec"]["containers"][0]["resources"]["limits"]["cpu"]
    )
    assert wanted <= cores
    if "gpu" in groups:
        models = stages["VLModel"]
        spare = models["max_surge_percent"] > 0
        assert groups["gpu"]["maxReplicas"] >= models["autoscaling_config"]["max_replicas"] + spare
        assert groups["gpu"]["minReplicas"] >= models["autoscaling_config"]["min_replicas"]


def test_the_available_one_survives_the_loss_of_any_pod() -> None:
    objects = plain_file("rayservice-ha.yaml")
    cluster = service_of(objects)["spec"]["rayClusterConfig"]
    (application,) = config_of(service_of(objects))["applications"]

    assert cluster["gcsFaultToleranceOptions"]["redisAddress"] == "pairlens-redis:6379"
    assert "externalStorageNamespace" not in cluster["gcsFaultToleranceOptions"], "two clusters would share one state"
    assert all(group["minReplicas"] >= 2 for group in cluster["workerGroupSpecs"])
    for stage in application["deployments"]:
        least = (stage.get("autoscaling_config") or {}).get("min_replicas", stage.get("num_replicas"))
        assert least >= 2 or stage["name"] == "Jobs"
    kept = {
        each["metadata"]["name"]: each["spec"]["minAvailable"]
        for each in objects
        if each["kind"] == "PodDisruptionBudget"
    }
    assert kept == {"pairlens-cpu": 2, "pairlens-gpu": 1}
    for pod in ("cpu", "gpu"):
        env = {each["name"] for each in pods(service_of(objects))[pod]["spec"]["containers"][0]["env"]}
        assert "RAY_gcs_rpc_server_reconnect_timeout_s" in env


def test_only_our_own_pods_reach_rays_ports() -> None:
    (policy,) = (each for each in rendered("plain") if each["kind"] == "NetworkPolicy")
    ours, *others = policy["spec"]["ingress"]
    assert "ports" not in ours
    assert ours["from"] == [{"podSelector": policy["spec"]["podSelector"]}]
    assert [sorted(port["port"] for port in rule["ports"]) for rule in others] == [[8000], [8080], [8000, 8265]]
    assert all(rule["from"] for rule in others)


def test_the_rules_are_the_shipped_ones() -> None:
    (made,) = (each for each in rendered("everything") if each["kind"] == "PrometheusRule")
    shipped = yaml.safe_load((chart.ROOT / "deployment/prometheus/rules.yaml").read_text(encoding="utf-8"))
    assert made["spec"] == shipped


def test_the_dashboard_is_the_shipped_one() -> None:
    (made,) = (each for each in rendered("everything") if each["kind"] == "ConfigMap")
    shipped = json.loads((chart.ROOT / "deployment/grafana/dashboard.json").read_text(encoding="utf-8"))
    assert json.loads(made["data"]["pairlens.json"]) == shipped


def test_what_is_scraped_has_the_name_and_the_series_that_the_rules_know() -> None:
    (monitor,) = (each for each in rendered("everything") if each["kind"] == "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    shipped = yaml.safe_load((chart.ROOT / "deployment/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    (scraped,) = shipped["scrape_configs"]
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": scraped["job_name"]}]
    (dropped,) = scraped["metric_relabel_configs"]
    (also,) = endpoint["metricRelabelings"]
    assert (also["regex"], also["action"]) == (dropped["regex"], dropped["action"])
    for pod in pods(service_of(rendered("everything"))).values():
        assert endpoint["port"] in {port["name"] for port in pod["spec"]["containers"][0]["ports"]}


def test_versions_are_those_of_the_package() -> None:
    told = yaml.safe_load((chart.CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert told["appVersion"] == __version__
    for group, pod in pods(service_of(chart.objects({}))).items():
        (container,) = pod["spec"]["containers"]
        assert container["image"] == f"registry.example/pairlens:{__version__}-{'gpu' if group == 'gpu' else 'cpu'}"


def test_the_notes_say_what_is_still_to_do() -> None:
    told = chart.render({})["NOTES.txt"]
    assert "no pod can pull that" in told
    assert "secrets.apiKeys" in told
    assert "no pod can pull that" not in chart.render(chart.values("everything"))["NOTES.txt"]
