"""The Kubernetes manifests as kustomize renders them."""

import functools
import re
import shutil
import subprocess

import pytest
import yaml

from tests.repository.files import ROOT

WORKLOADS = ("Deployment", "StatefulSet")


def kustomize_problem():
    """Why manifests cannot be rendered here, or None. kubectl 1.20's kustomize knows no components."""
    program = shutil.which("kubectl")
    if program is None:
        return "kubectl is missing"
    said = subprocess.run(
        [program, "version", "--client"], capture_output=True, text=True, check=False
    ).stdout
    found = re.search(r"v1\.(\d+)", said)
    if found is None or int(found.group(1)) < 25:
        return f"kubectl is older than 1.25: {said.strip()!r}"
    return None


@functools.cache
def render(folder):
    """Objects of k8s/`folder`; skips the test, aloud, where kubectl cannot render."""
    problem = kustomize_problem()
    if problem:
        pytest.skip(f"{problem}: manifests are not rendered")
    done = subprocess.run(
        ["kubectl", "kustomize", str(ROOT / "k8s" / folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def plain(folder):
    """Objects of the plain YAML files in k8s/`folder`, without kustomize."""
    return [
        each
        for path in sorted((ROOT / "k8s" / folder).glob("*.yaml"))
        if path.name != "kustomization.yaml"
        for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if each
    ]


def of_kind(objects, *kinds):
    return {each["metadata"]["name"]: each for each in objects if each["kind"] in kinds}


def environment_file(path):
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
