"""Kubernetes manifests: valid, safe by default, and in agreement with the code."""

import re

import kubernetes_validate
import pytest
import yaml

from monitoring.catalogue import queryable
from services.gateway.tokens.issuers import read_issuers
from services.rpc.settings import load_settings
from tests.repository.custom_resources import is_custom
from tests.repository.files import ROOT, SERVICES, read
from tests.repository.manifests import WORKLOADS, environment_file, of_kind, plain, render
from tools.generate_configuration import settings_class

FOLDERS = ["base", "overlays/local", "overlays/gpu", "overlays/milvus", "overlays/full"]
SECRETS = "/run/secrets/cairn/"
OLDEST, NEWEST = "1.34", "1.37"
"""Versions of Kubernetes whose schemas the manifests must fit."""


def pod(workload):
    return workload["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("folder", "version"),
    [*((folder, NEWEST) for folder in FOLDERS), ("overlays/full", OLDEST), ("base", OLDEST)],
)
def test_rendered_manifests_are_valid_and_hold_no_unknown_key(folder, version):
    # Custom resources have a test of their own.
    objects = [each for each in render(folder) if not is_custom(each)]
    assert objects
    for each in objects:
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("folder", ["base", "components/stores", "components/backup"])
def test_the_plain_files_are_valid(folder):
    objects = plain(folder)
    assert objects
    for each in objects:
        kubernetes_validate.validate(each, NEWEST, strict=True)


def test_an_unknown_key_is_found():
    service = of_kind(plain("base"), "Service")["embedding"]
    service = {**service, "spec": {**service["spec"], "clusterIp": "None"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service, NEWEST, strict=True)


def test_every_service_has_a_workload():
    assert set(of_kind(plain("base"), *WORKLOADS)) == set(SERVICES)


def test_nothing_is_reachable_that_no_policy_allows():
    deny = of_kind(plain("base"), "NetworkPolicy")["default-deny"]["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("service", SERVICES)
def test_settings_exist_and_ports_agree(service):
    fields = settings_class(service).model_fields
    prefix = f"CAIRN_{service.upper()}_"
    values = environment_file(f"k8s/base/{service}.env")
    container = pod(of_kind(plain("base"), *WORKLOADS)[service])["containers"][0]
    assert "env" not in container, "secrets come as files, the rest by the ConfigMap"
    assert all(name.startswith(prefix) for name in values)
    settings = [name.removeprefix(prefix).removesuffix("_FILE").lower() for name in values]
    unknown = [name for name in settings if name not in fields]
    assert unknown == []
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports["grpc"] == int(values[f"{prefix}PORT"]) == fields["port"].default
    assert (
        ports["metrics"] == int(values[f"{prefix}METRICS_PORT"]) == fields["metrics_port"].default
    )
    if service == "gateway":
        assert ports["http"] == int(values[f"{prefix}HTTP_PORT"]) == fields["http_port"].default


@pytest.mark.parametrize("service", SERVICES)
def test_the_settings_load(service, monkeypatch, tmp_path):
    """The very values of the manifests make a settings object: types and bounds hold, too."""
    secrets = secrets_of_the_local_overlay()
    for name, value in environment_file(f"k8s/base/{service}.env").items():
        if value.startswith(SECRETS):
            file = tmp_path / value.removeprefix(SECRETS)
            file.write_text(secrets[file.name])
            monkeypatch.setenv(name, str(file))
        else:
            monkeypatch.setenv(name, value)
    settings = load_settings(settings_class(service))
    assert settings.host == "0.0.0.0"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_secret_that_is_read_is_mounted(folder):
    """As files, in the container and in its preflight; and nothing else is."""
    objects = render(folder)
    for name, workload in of_kind(objects, *WORKLOADS).items():
        if name not in SERVICES:
            continue
        spec = pod(workload)
        volumes = [each["secret"] for each in spec["volumes"] if "secret" in each]
        mounted = {item["path"] for volume in volumes for item in volume["items"]}
        for container in [*spec["initContainers"], *spec["containers"]]:
            (source,) = container["envFrom"]
            values = of_kind(objects, "ConfigMap")[source["configMapRef"]["name"]]["data"]
            read = {
                value.removeprefix(SECRETS)
                for value in values.values()
                if value.startswith(SECRETS)
            }
            assert read == mounted, name
            mounts = {each["mountPath"] for each in container["volumeMounts"]}
            assert (SECRETS.rstrip("/") in mounts) == bool(read), name


@pytest.mark.parametrize("service", SERVICES)
def test_a_version_that_cannot_work_is_stopped_before_the_old_one_leaves(service):
    workload = of_kind(plain("base"), *WORKLOADS)[service]
    (preflight,) = pod(workload)["initContainers"]
    assert preflight["command"] == ["python", "-m", f"services.{service}.preflight"]
    assert preflight["image"] == pod(workload)["containers"][0]["image"]
    if workload["kind"] == "Deployment":
        assert workload["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def secrets_of_the_local_overlay():
    generator = yaml.safe_load(read("k8s/overlays/local/kustomization.yaml"))["secretGenerator"][0]
    return dict(literal.split("=", 1) for literal in generator["literals"])


def test_targets_name_services_and_their_ports():
    services = of_kind(plain("base"), "Service")
    for service in SERVICES:
        for name, value in environment_file(f"k8s/base/{service}.env").items():
            if not name.endswith("_TARGET"):
                continue
            found = re.fullmatch(r"dns:///(\w+):(\d+)", value)
            assert found, f"{name}={value}"
            ports = [port["port"] for port in services[found.group(1)]["spec"]["ports"]]
            assert int(found.group(2)) in ports


def test_a_drain_fits_into_the_grace_period():
    for name, workload in of_kind(plain("base"), *WORKLOADS).items():
        values = environment_file(f"k8s/base/{name}.env")
        drain = float(values[f"CAIRN_{name.upper()}_DRAIN_DELAY_SECONDS"])
        grace = float(values[f"CAIRN_{name.upper()}_GRACE_SECONDS"])
        assert drain + grace + 5 <= pod(workload)["terminationGracePeriodSeconds"], name


def test_every_image_has_a_stage_that_builds_it():
    stages = set(
        re.findall(r"^FROM \S+ AS (\S+)$", read("docker/service.Dockerfile"), re.MULTILINE)
    )
    kustomization = yaml.safe_load(read("k8s/base/kustomization.yaml"))
    assert {image["name"].removeprefix("cairn/") for image in kustomization["images"]} == set(
        SERVICES
    )
    assert {*SERVICES, "retrieval-milvus"} <= stages


def test_every_rendered_image_is_pinned():
    for folder in FOLDERS:
        for workload in of_kind(render(folder), *WORKLOADS).values():
            for container in pod(workload)["containers"]:
                assert re.search(r":\d|@sha256:", container["image"]), container["image"]
                assert not container["image"].endswith(":latest")


def test_an_overlay_for_gpus_asks_for_one():
    generation = of_kind(render("overlays/gpu"), "Deployment")["generation"]
    container = pod(generation)["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["image"].startswith("cairn/generation-vllm:")
    assert (ROOT / "docker" / "vllm.Dockerfile").is_file()


@pytest.mark.parametrize(("overlay", "service"), [("gpu", "generation"), ("milvus", "retrieval")])
def test_settings_of_an_overlay_exist(overlay, service):
    known = settings_class(service).model_fields
    prefix = f"CAIRN_{service.upper()}_"
    names = environment_file(f"k8s/overlays/{overlay}/{service}.env")
    settings = [name.removeprefix(prefix).removesuffix("_FILE").lower() for name in names]
    assert [name for name in settings if name not in known] == []


def test_preflight_and_engine_see_the_same_model():
    objects = render("overlays/gpu")
    spec = pod(of_kind(objects, "Deployment")["generation"])
    model = environment_file("k8s/overlays/gpu/generation.env")["CAIRN_GENERATION_VLLM_MODEL"]
    for container in [*spec["initContainers"], *spec["containers"]]:
        mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
        (volume,) = [name for path, name in mounts.items() if model.startswith(f"{path}/")]
        assert volume == "models", container["name"]


def test_generation_on_gpus_scales_by_who_waits():
    (metric,) = of_kind(render("overlays/gpu"), "HorizontalPodAutoscaler")["generation"]["spec"][
        "metrics"
    ]
    assert metric["pods"]["metric"]["name"] in queryable()
    (first, *_) = of_kind(render("overlays/full"), "ScaledObject")["generation"]["spec"]["triggers"]
    assert "sum(vllm:num_requests_waiting)" in first["metadata"]["query"]
    assert f"sum({metric['pods']['metric']['name']})" in first["metadata"]["query"]


def test_milvus_is_reached_and_nothing_else_new():
    base = of_kind(render("base"), "NetworkPolicy")["retrieval"]["spec"]
    milvus = of_kind(render("overlays/milvus"), "NetworkPolicy")["retrieval"]["spec"]
    added = [each for each in milvus["egress"] if each not in base["egress"]]
    address = environment_file("k8s/overlays/milvus/retrieval.env")["CAIRN_RETRIEVAL_MILVUS_URI"]
    assert [port["port"] for rule in added for port in rule["ports"]] == [
        int(address.rpartition(":")[2])
    ]


def test_more_replicas_come_by_the_clock():
    scaled = of_kind(render("overlays/full"), "ScaledObject")
    for name in ("gateway", "embedding", "retrieval"):
        (clock,) = [each for each in scaled[name]["spec"]["triggers"] if each["type"] == "cron"]
        assert int(clock["metadata"]["desiredReplicas"]) <= scaled[name]["spec"]["maxReplicaCount"]


def test_the_identity_provider_that_is_shown_is_one_that_the_gateway_reads():
    maps = of_kind(render("overlays/full"), "ConfigMap")
    (values,) = [each["data"] for name, each in maps.items() if name.startswith("gateway-")]
    (issuer,) = read_issuers(values["CAIRN_GATEWAY_JWT_ISSUERS"])
    assert issuer.issuer == "https://login.example.com"
