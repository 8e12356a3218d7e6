"""Every workload of every overlay: bounded, probed, unprivileged, spread, fenced in, scaled."""

import pytest

from tests.repository.files import SERVICES
from tests.repository.manifests import WORKLOADS, of_kind, plain, render

RENDERED = ["base", "overlays/local", "overlays/gpu", "overlays/milvus", "overlays/full"]
PLAIN = ["base", "components/stores", "components/backup"]
"""Looked at where manifests cannot be rendered, too."""
FOLDERS = [*RENDERED, *(f"files of {folder}" for folder in PLAIN)]
HOW = ("grpc", "httpGet", "exec", "tcpSocket")


def objects_of(folder):
    return plain(folder.removeprefix("files of ")) if " of " in folder else render(folder)


def pods(objects):
    """Name and pod of everything that runs, jobs by the clock included."""
    for name, each in of_kind(objects, *WORKLOADS).items():
        yield name, each["spec"]["template"]
    for name, each in of_kind(objects, "CronJob").items():
        yield name, each["spec"]["jobTemplate"]["spec"]["template"]


def workloads(folder):
    return of_kind(objects_of(folder), *WORKLOADS).items()


def only_one(workload):
    """Whether it says that it is one pod, which cannot be scaled."""
    return workload["metadata"].get("annotations", {}).get("autoscaler") == "none"


def how(probe):
    return {key: value for key, value in probe.items() if key in HOW}


@pytest.mark.parametrize("folder", RENDERED)
def test_every_service_is_there(folder):
    assert set(SERVICES) <= set(of_kind(render(folder), *WORKLOADS))
    assert of_kind(render(folder), "StatefulSet")["retrieval"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_everything_that_runs_is_unprivileged_and_bounded(folder):
    for name, template in pods(objects_of(folder)):
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
            assert {"cpu", "memory"} <= container["resources"]["limits"].keys(), name


@pytest.mark.parametrize("folder", FOLDERS)
def test_liveness_is_not_readiness_and_starting_has_time(folder):
    for name, workload in workloads(folder):
        for container in workload["spec"]["template"]["spec"]["containers"]:
            startup, liveness, readiness = (
                container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")
            )
            assert all(map(how, (startup, liveness, readiness))), name
            assert how(liveness) != how(readiness), f"{name}: liveness must not ask for readiness"
            least = {"generation": 1200} if folder in {"overlays/gpu", "overlays/full"} else {}
            seconds = startup["periodSeconds"] * startup["failureThreshold"]
            assert seconds >= {"retrieval": 600, **least}.get(name, 60), f"{name}: models, views"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_workload_has_its_budget(folder):
    budgets = of_kind(objects_of(folder), "PodDisruptionBudget")
    for name, workload in workloads(folder):
        selector = {"matchLabels": workload["spec"]["template"]["metadata"]["labels"]}
        wanted = workload["spec"]["selector"]["matchLabels"].items()
        assert wanted, name
        assert wanted <= selector["matchLabels"].items(), name
        assert budgets[name]["spec"]["selector"] == workload["spec"]["selector"], name
        assert budgets[name]["spec"]["maxUnavailable"] == 1, name


@pytest.mark.parametrize("folder", FOLDERS)
def test_everything_that_runs_is_fenced_in(folder):
    objects = objects_of(folder)
    policies = of_kind(objects, "NetworkPolicy")
    for name, template in pods(objects):
        policy = policies[name]["spec"]
        assert (
            policy["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        )
        assert policy["podSelector"]["matchLabels"], f"{name}: would be everybody's"
        assert policy["policyTypes"] == ["Ingress", "Egress"], name
        assert template["spec"]["serviceAccountName"] in of_kind(objects, "ServiceAccount"), name
    if folder in RENDERED:
        assert policies["default-deny"]["spec"] == {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
        }


@pytest.mark.parametrize("folder", FOLDERS)
def test_replicas_are_spread_over_nodes(folder):
    for name, workload in workloads(folder):
        if only_one(workload):
            continue
        (spread,) = workload["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert spread["topologyKey"] == "kubernetes.io/hostname", name
        assert spread["labelSelector"] == workload["spec"]["selector"], name


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_workload_has_one_autoscaler_or_says_why_not(folder):
    objects = objects_of(folder)
    scalers = [
        each for each in objects if each["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}
    ]
    for name, workload in workloads(folder):
        targets = [each["spec"]["scaleTargetRef"] for each in scalers]
        found = [
            each for each in targets if (each["kind"], each["name"]) == (workload["kind"], name)
        ]
        assert len(found) == (0 if only_one(workload) else 1), name
        if found:
            assert "replicas" not in workload["spec"], f"{name}: would fight with its autoscaler"
    for each in scalers:
        least = each["spec"].get("minReplicas") or each["spec"].get("minReplicaCount")
        assert least >= (1 if folder == "overlays/local" else 2), each["metadata"]["name"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_clients_of_grpc_see_every_replica(folder):
    """Behind a virtual address one long-lived connection would pin a client to one replica."""
    services = of_kind(objects_of(folder), "Service")
    for name, service in services.items():
        if name in set(SERVICES) - {"gateway"}:
            assert service["spec"]["clusterIP"] == "None", name
