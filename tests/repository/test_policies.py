"""checkov's policies over the manifests as they are applied, and over the Dockerfiles."""

import json
import subprocess

import pytest
import yaml

from tests.repository.files import ROOT
from tests.repository.manifests import render

CHECKOV = ROOT / ".venv-policy" / "bin" / "checkov"
ACCEPTED = {
    "base": {"CKV_K8S_43"},
    # Images that were built on the node are in no registry: they cannot always be pulled.
    "overlays/local": {"CKV_K8S_43", "CKV_K8S_15"},
    "overlays/gpu": {"CKV_K8S_43"},
    "overlays/milvus": {"CKV_K8S_43"},
    "overlays/full": {"CKV_K8S_43"},
}
"""What may fail. CKV_K8S_43 asks for digests: our own images get theirs when they are pushed to a registry, which these
files do not know; images of others have them (test_images_of_others_have_digests)."""


def failures(*arguments):
    if not CHECKOV.exists():
        pytest.skip("checkov is missing (.venv-policy): policies are not checked")
    command = [CHECKOV, *arguments, "--skip-download", "--quiet", "--compact", "--output", "json"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=240
    )
    report = json.loads(done.stdout)
    assert report["summary"]["passed"] > 50, "it looked at next to nothing"
    assert report["summary"]["parsing_errors"] == 0
    return {(each["check_id"], each["resource"]) for each in report["results"]["failed_checks"]}


@pytest.mark.parametrize("folder", ACCEPTED)
def test_manifests_break_no_policy(folder, tmp_path):
    rendered = tmp_path / "manifests.yaml"
    rendered.write_text(yaml.safe_dump_all(render(folder)), encoding="utf-8")
    found = failures("--file", str(rendered), "--framework", "kubernetes")
    assert [each for each in found if each[0] not in ACCEPTED[folder]] == []


def test_dockerfiles_break_no_policy():
    assert failures("--directory", "docker", "--framework", "dockerfile") == set()


def test_a_broken_policy_is_found(tmp_path):
    objects = json.loads(json.dumps(render("base")))
    for each in objects:
        if each["kind"] == "Deployment" and each["metadata"]["name"] == "gateway":
            container = each["spec"]["template"]["spec"]["containers"][0]
            container["securityContext"]["privileged"] = True
    rendered = tmp_path / "manifests.yaml"
    rendered.write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    found = failures("--file", str(rendered), "--framework", "kubernetes")
    assert ("CKV_K8S_16", "Deployment.cairn.gateway") in found


def test_images_of_others_have_digests():
    images = {
        container["image"]
        for folder in ACCEPTED
        for each in render(folder)
        for container in containers(each)
    }
    others = {image for image in images if not image.startswith("cairn/")}
    assert len(others) == 2
    assert all("@sha256:" in image for image in others), others


def containers(item):
    spec = item.get("spec", {})
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    pod = spec.get("template", {}).get("spec", {})
    return [*pod.get("initContainers", []), *pod.get("containers", [])]
