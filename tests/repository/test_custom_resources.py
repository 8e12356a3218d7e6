"""The objects of operators: ServiceMonitors, rules, ScaledObjects, routes, the InferencePool."""

import copy

import pytest
import yaml

from tests.repository.custom_resources import TYPES, is_custom, problems
from tests.repository.files import ROOT, SERVICES
from tests.repository.manifests import WORKLOADS, of_kind, plain, render
from tools.generate_configuration import settings_class

FULL = "overlays/full"


def custom():
    return [each for each in render(FULL) if is_custom(each)]


def test_custom_resources_fit_their_definitions(tmp_path):
    objects = custom()
    assert {(each["apiVersion"], each["kind"]) for each in objects} == set(TYPES)
    assert problems(objects, tmp_path) == ""


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("ServiceMonitor", ["spec", "endpoints", 0, "intervall"], "15s"),
        ("ScaledObject", ["spec", "minReplicas"], 2),
        ("ScaledObject", ["spec", "triggers", 0, "metadata"], "threshold"),
        ("HTTPRoute", ["spec", "rules", 0, "backendRef"], []),
        ("GRPCRoute", ["spec", "rules", 0, "matches", 0, "path"], "/"),
        ("PrometheusRule", ["spec", "groups", 0, "rules", 0, "fore"], "5m"),
        ("InferencePool", ["spec", "targetPort"], 9103),
    ],
)
def test_a_misspelt_key_and_a_wrong_type_are_found(kind, path, value, tmp_path):
    item = copy.deepcopy(next(each for each in custom() if each["kind"] == kind))
    place = item
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert problems([item], tmp_path) != ""


def test_every_service_is_scraped_where_it_serves_metrics():
    objects = custom()
    services = [each for each in render(FULL) if each["kind"] == "Service"]
    monitors = of_kind(objects, "ServiceMonitor")
    assert set(monitors) == set(SERVICES)
    for name, monitor in monitors.items():
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        (service,) = [each for each in services if wanted <= each["metadata"]["labels"].items()]
        ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
        endpoint = monitor["spec"]["endpoints"][0]
        assert ports[endpoint["port"]] == settings_class(name).model_fields["metrics_port"].default
        assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": f"cairn-{name}"}]


def test_keda_scales_every_workload_and_nothing_else_does():
    objects = render(FULL)
    workloads = of_kind(objects, *WORKLOADS)
    assert not of_kind(objects, "HorizontalPodAutoscaler")
    scaled = of_kind(objects, "ScaledObject")
    assert set(scaled) == set(SERVICES)
    for name, each in scaled.items():
        target = each["spec"]["scaleTargetRef"]
        assert target["name"] == name
        assert workloads[name]["kind"] == target["kind"]
        spec = each["spec"]
        assert (
            2 <= spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"]
        )
        for trigger in spec["triggers"]:
            if trigger["type"] == "prometheus":
                # A missing metric must count as a failure (then the fallback holds), never as zero.
                assert trigger["metadata"]["ignoreNullValues"] == "false"
                # KEDA refuses a query with more than one series.
                assert trigger["metadata"]["query"].startswith(("sum(", "max("))


def test_routes_lead_to_ports_of_the_gateway():
    objects = render(FULL)
    ports = {each["port"] for each in of_kind(objects, "Service")["gateway"]["spec"]["ports"]}
    backends = [
        backend
        for route in objects
        if route["kind"] in {"HTTPRoute", "GRPCRoute"}
        for rule in route["spec"]["rules"]
        for backend in rule.get("backendRefs", [])
    ]
    assert len(backends) == 2
    assert all(each["name"] == "gateway" and each["port"] in ports for each in backends)


def test_no_route_takes_the_place_of_another():
    """An HTTPRoute and a GRPCRoute must not share a host name on a listener: the newer is refused."""
    objects = render(FULL)
    (gateway,) = of_kind(objects, "Gateway").values()
    listeners = {each["name"]: each["hostname"] for each in gateway["spec"]["listeners"]}
    taken = set()
    for route in (each for each in objects if each["kind"] in {"HTTPRoute", "GRPCRoute"}):
        (parent,) = route["spec"]["parentRefs"]
        (hostname,) = route["spec"]["hostnames"]
        assert parent["name"] == gateway["metadata"]["name"]
        assert listeners[parent["sectionName"]] == hostname
        assert (parent["sectionName"], hostname) not in taken
        taken.add((parent["sectionName"], hostname))
    assert len(taken) == len(listeners)


def test_the_rules_of_the_operator_are_those_of_prometheus():
    written = [
        group
        for name in ("objectives.yaml", "alerts.yaml")
        for group in yaml.safe_load((ROOT / "monitoring" / name).read_text("utf-8"))["groups"]
    ]
    (rule,) = of_kind(custom(), "PrometheusRule").values()
    assert rule["spec"]["groups"] == written


def test_the_pool_is_the_generation_service():
    (pool,) = of_kind(custom(), "InferencePool").values()
    labels = of_kind(plain("base"), *WORKLOADS)["generation"]["spec"]["template"]["metadata"][
        "labels"
    ]
    assert pool["spec"]["selector"]["matchLabels"].items() <= labels.items()
    port = settings_class("generation").model_fields["port"].default
    assert pool["spec"]["targetPorts"] == [{"number": port}]
