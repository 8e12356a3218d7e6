"""What manifests name must be there: ports, selectors, volumes, neighbours, figures, hours."""

import base64
import re
import zoneinfo

import pytest
from cairn.gateway.v1 import gateway_service_pb2 as gateway
from grpc_health.v1 import health_pb2 as health

from monitoring.catalogue import queryable
from services.gateway.edge.exchange import _PROBES
from services.rpc.health import LIVENESS
from tests.repository.files import SERVICES, read, tracked
from tests.repository.manifests import WORKLOADS, of_kind, render
from tests.repository.test_alerts import TARGET_LABELS, selectors

FOLDERS = ["base", "overlays/local", "overlays/gpu", "overlays/milvus", "overlays/full"]
NAME = "app.kubernetes.io/name"
DATABASE, VALKEY, TRACES = 5432, 6379, 4317
MONITORING = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
HOURS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
"""Bounds of the fields of a schedule: minute, hour, day, month, weekday."""


def workloads(objects):
    """Each workload's name, itself, and its pod."""
    for name, each in of_kind(objects, *WORKLOADS).items():
        yield name, each, each["spec"]["template"]


def containers(template):
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def settings_of(objects, service):
    """The values that a service's container gets."""
    pod = of_kind(objects, *WORKLOADS)[service]["spec"]["template"]["spec"]
    (source,) = pod["containers"][0]["envFrom"]
    prefix = f"CAIRN_{service.upper()}_"
    values = of_kind(objects, "ConfigMap")[source["configMapRef"]["name"]]["data"]
    return {name.removeprefix(prefix): value for name, value in values.items()}


def ports_of(template):
    """The ports of a pod by name."""
    return {
        port["name"]: port["containerPort"]
        for container in template["spec"]["containers"]
        for port in container["ports"]
    }


@pytest.mark.parametrize("folder", FOLDERS)
def test_probes_ask_what_the_service_answers_where_it_listens(folder):
    for name, _, template in workloads(render(folder)):
        if name not in SERVICES:
            continue
        (container,) = template["spec"]["containers"]
        ports = ports_of(template)
        startup, readiness, liveness = (
            container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")
        )
        for probe in (startup, readiness, liveness):
            if "httpGet" in probe:
                assert probe["httpGet"]["port"] == "http", name
            else:
                assert probe["grpc"]["port"] == ports["grpc"], name
        if name == "gateway":
            asked = {probe["httpGet"]["path"] for probe in (readiness, liveness)}
            assert asked == set(_PROBES)
            assert readiness["httpGet"]["path"] == "/readyz"
        else:
            assert liveness["grpc"]["service"] == LIVENESS, name
            assert not readiness["grpc"].get("service"), name


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_service_leads_to_the_ports_of_pods_that_are_there(folder):
    objects = render(folder)
    pods = {name: template for name, _, template in workloads(objects)}
    for name, service in of_kind(objects, "Service").items():
        wanted = service["spec"]["selector"].items()
        (found,) = [each for each in pods.values() if wanted <= each["metadata"]["labels"].items()]
        ports = ports_of(found)
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports, (name, port)
            # Behind a name without an address of its own, clients go to the pod's port itself.
            if service["spec"].get("clusterIP") == "None":
                assert port["port"] == ports[port["targetPort"]], (name, port)
    for name, each, template in workloads(objects):
        if each["kind"] == "StatefulSet":
            governing = of_kind(objects, "Service")[each["spec"]["serviceName"]]
            labels = template["metadata"]["labels"]
            assert governing["spec"]["selector"].items() <= labels.items(), name
        annotations = template["metadata"].get("annotations", {})
        if "prometheus.io/port" in annotations:
            assert int(annotations["prometheus.io/port"]) == ports_of(template)["metrics"], name


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_mounted_is_there_and_what_is_written_to_is_mounted(folder):
    objects = render(folder)
    for name, each, template in workloads(objects):
        volumes = {volume["name"]: volume for volume in template["spec"].get("volumes", [])}
        claims = {
            claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", [])
        }
        for container in containers(template):
            mounts = container["volumeMounts"]
            assert {mount["name"] for mount in mounts} <= {*volumes, *claims}, name
            written = {mount["mountPath"] for mount in mounts if not mount.get("readOnly")}
            if name in SERVICES:  # their root is read-only
                assert {settings_of(objects, name)["DATA_DIR"], "/tmp"} <= written, name
            for mount in mounts:
                if mount["mountPath"] == "/dev/shm":
                    assert volumes[mount["name"]]["emptyDir"]["medium"] == "Memory", name


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_drain_fits_into_what_each_overlay_grants(folder):
    objects = render(folder)
    for service in SERVICES:
        values = settings_of(objects, service)
        took = float(values["DRAIN_DELAY_SECONDS"]) + float(values["GRACE_SECONDS"])
        pod = of_kind(objects, *WORKLOADS)[service]["spec"]["template"]["spec"]
        assert took + 5 <= pod["terminationGracePeriodSeconds"], service


def called_by(objects, service):
    """The services that a service is set up to call, and their ports."""
    values = settings_of(objects, service)
    targets = [value for name, value in values.items() if name.endswith("_TARGET")]
    return {
        (host, int(port))
        for host, port in (
            target.removeprefix("dns:///").rsplit(":", maxsplit=1) for target in targets
        )
    }


def allowed(rules, side):
    """Pairs of a neighbour and a port that rules allow; the neighbour is "" for anybody."""
    return {
        (peer.get("podSelector", {}).get("matchLabels", {}).get(NAME, str(peer)), port["port"])
        for rule in rules
        for peer in rule.get(side) or [{"podSelector": {"matchLabels": {NAME: ""}}}]
        for port in rule["ports"]
    }


@pytest.mark.parametrize("folder", FOLDERS)
def test_policies_allow_the_calls_that_settings_make_and_no_others(folder):
    objects = render(folder)
    policies = of_kind(objects, "NetworkPolicy")
    calls = {service: called_by(objects, service) for service in SERVICES}
    for service in SERVICES:
        values = settings_of(objects, service)
        stores = {("", DATABASE)} if "DATABASE_URL_FILE" in values else set()
        stores |= {("", VALKEY)} if "VALKEY_URL_FILE" in values else set()
        wanted = {*calls[service], *stores, (str(MONITORING), TRACES)}
        out = allowed(policies[service]["spec"]["egress"], "to")
        assert wanted <= out, f"{service} cannot call {wanted - out}"
        # To the outside, overlays add what they need: an identity provider, Milvus.
        assert not {pair for pair in out - wanted if pair[0]}, service
        ingress = allowed(policies[service]["spec"]["ingress"], "from")
        callers = {
            (other, "grpc") for other in SERVICES if service in {host for host, _ in calls[other]}
        }
        edge = {("", "http"), ("", "grpc")} if service == "gateway" else set()
        assert ingress == {*callers, *edge, (str(MONITORING), "metrics")}, service
    dns = allowed(policies["allow-dns"]["spec"]["egress"], "to")
    assert {port for _, port in dns} == {53}
    (rule,) = policies["allow-dns"]["spec"]["egress"]
    assert {port["protocol"] for port in rule["ports"]} == {"UDP", "TCP"}
    assert policies["allow-dns"]["spec"]["podSelector"] == {}


def test_stores_let_in_those_who_have_their_address():
    objects = render("overlays/local")
    policies = of_kind(objects, "NetworkPolicy")
    for store, setting in (("postgresql", "DATABASE_URL_FILE"), ("valkey", "VALKEY_URL_FILE")):
        needed = {name for name in SERVICES if setting in settings_of(objects, name)}
        ingress = allowed(policies[store]["spec"]["ingress"], "from")
        assert {peer for peer, _ in ingress} - {"backup"} == needed, store
        assert {port for _, port in ingress} == {store}
    secret = of_kind(objects, "Secret")["cairn-secrets"]
    keys = {
        (item["key"])
        for _, _, template in workloads(objects)
        for volume in template["spec"]["volumes"]
        if volume.get("secret", {}).get("secretName") == "cairn-secrets"
        for item in volume["secret"]["items"]
    }
    assert keys == set(secret["data"])
    told = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    assert f":{told['valkey-password']}@" in told["valkey-url"]
    for service in ("retrieval", "ingestion", "gateway"):
        assert f":{told['postgresql-password']}@" in told[f"{service}-database-url"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_secret_has_the_one_name_that_is_documented(folder):
    objects = render(folder)
    templates = [template for _, _, template in workloads(objects)]
    templates += [
        job["spec"]["jobTemplate"]["spec"]["template"]
        for job in of_kind(objects, "CronJob").values()
    ]
    page = read("docs/kubernetes.md").partition("## Secrets")[2].partition("\n## ")[0]
    for template in templates:
        for volume in template["spec"]["volumes"]:
            if "secret" not in volume:
                continue
            assert volume["secret"]["secretName"] == "cairn-secrets"
            keys = {item["key"] for item in volume["secret"]["items"]}
            # Passwords of the throw-away stores are the overlay's own affair.
            own = {"postgresql-password", "valkey-password"}
            assert not [key for key in keys - own if f"`{key}`" not in page]


def test_autoscalers_ask_for_figures_that_exist():
    known = queryable()
    queries = [
        trigger["metadata"]["query"]
        for each in of_kind(render("overlays/full"), "ScaledObject").values()
        for trigger in each["spec"]["triggers"]
        if trigger["type"] == "prometheus"
    ]
    assert len(queries) >= len(SERVICES)
    code = "\n".join(path.read_text("utf-8") for path in tracked("services/*.py"))
    for query in queries:
        for each in selectors(query):
            assert each.name in known, query
            for matcher in each.matchers.matchers:
                assert matcher.name in {*known[each.name], *TARGET_LABELS}, query
                assert f'"{matcher.value}"' in code, f"{query}: nothing has that name"
    rule = read("docs/kubernetes.md").partition("## Autoscaling of GPUs")[2]
    (series,) = re.findall(r"seriesQuery: (\w+)\{", rule)
    assert series in known
    (metric,) = of_kind(render("overlays/gpu"), "HorizontalPodAutoscaler")["generation"]["spec"][
        "metrics"
    ]
    assert metric["pods"]["metric"]["name"] == series


@pytest.mark.parametrize("folder", FOLDERS)
def test_autoscalers_have_room(folder):
    for name, each in of_kind(render(folder), "HorizontalPodAutoscaler", "ScaledObject").items():
        spec = each["spec"]
        least = spec.get("minReplicas", spec.get("minReplicaCount"))
        most = spec.get("maxReplicas", spec.get("maxReplicaCount"))
        assert least < most, name


def is_schedule(text):
    """Whether cron understands it: five fields of numbers, ranges and steps within their bounds."""
    fields = text.split()
    return len(fields) == len(HOURS) and all(
        re.fullmatch(r"(\*|\d+(-\d+)?)(/\d+)?(,(\*|\d+(-\d+)?)(/\d+)?)*", field)
        and all(low <= int(number) <= high for number in re.findall(r"(?<!/)\b\d+", field))
        for field, (low, high) in zip(fields, HOURS, strict=True)
    )


def test_clocks_are_understood():
    objects = render("overlays/full")
    clocks = [
        trigger["metadata"]
        for each in of_kind(objects, "ScaledObject").values()
        for trigger in each["spec"]["triggers"]
        if trigger["type"] == "cron"
    ]
    assert clocks
    for clock in clocks:
        assert zoneinfo.ZoneInfo(clock["timezone"])
        assert is_schedule(clock["start"])
        assert is_schedule(clock["end"])
        assert clock["start"] != clock["end"]
    backup = of_kind(objects, "CronJob")["backup"]["spec"]
    assert zoneinfo.ZoneInfo(backup["timeZone"])
    assert is_schedule(backup["schedule"])
    assert not is_schedule("17 25 * * *")
    assert not is_schedule("17 2 * *")


def test_the_backup_finds_its_script_and_its_addresses():
    objects = render("overlays/full")
    spec = of_kind(objects, "CronJob")["backup"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    folder, _, script = container["command"][-1].rpartition("/")
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert set(mounts.values()) <= set(volumes)
    scripts = volumes[mounts[folder]]["configMap"]["name"]
    text = of_kind(objects, "ConfigMap")[scripts]["data"][script]
    databases = set(re.search(r"for service in ([\w ]+); do", text)[1].split())
    items = volumes[mounts["/run/secrets/cairn"]]["secret"]["items"]
    assert {item["path"] for item in items} == {f"{name}-database-url" for name in databases}
    assert databases == {
        name for name in SERVICES if "DATABASE_URL_FILE" in settings_of(objects, name)
    }
    claims = of_kind(objects, "PersistentVolumeClaim")
    assert volumes[mounts["/backup"]]["persistentVolumeClaim"]["claimName"] in claims


def test_routes_of_grpc_name_services_that_exist():
    (route,) = of_kind(render("overlays/full"), "GRPCRoute").values()
    named = {
        match["method"]["service"] for rule in route["spec"]["rules"] for match in rule["matches"]
    }
    known = {
        service.full_name
        for module in (gateway, health)
        for service in module.DESCRIPTOR.services_by_name.values()
    }
    assert named == known
