"""Custom resources against their definitions: as TypeScript literals, whose compiler refuses what a type does not know.

Types that are generated from the definitions exist for these kinds; validators that come with them let unknown keys
pass, which is how a misspelt setting gets lost.
"""

import json
import shutil
import subprocess

import pytest

from tests.repository.files import ROOT

MODULES = ROOT / "tests" / "javascript" / "node_modules"

_OPERATOR = "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1"
_ROUTES = "@kubernetes-models/gateway-api/gateway.networking.k8s.io"
TYPES = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): f"{_OPERATOR}/ServiceMonitor",
    ("monitoring.coreos.com/v1", "PrometheusRule"): f"{_OPERATOR}/PrometheusRule",
    ("keda.sh/v1alpha1", "ScaledObject"): "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject",
    ("gateway.networking.k8s.io/v1", "Gateway"): f"{_ROUTES}/v1/Gateway",
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): f"{_ROUTES}/v1/HTTPRoute",
    # The package has it as the alpha it was; v1 has the same fields.
    ("gateway.networking.k8s.io/v1", "GRPCRoute"): f"{_ROUTES}/v1alpha2/GRPCRoute",
    ("inference.networking.k8s.io/v1", "InferencePool"): "cairn-tests/inference_pool",
}


def is_custom(item):
    """Whether no Kubernetes comes with this kind."""
    group = item["apiVersion"].rpartition("/")[0]
    return "." in group and (
        not group.endswith(".k8s.io") or (item["apiVersion"], item["kind"]) in TYPES
    )


def problems(objects, folder):
    """What the definitions say against custom resources; skips the test, aloud, without npm's packages.

    Args:
        objects: Custom resources.
        folder: An empty folder to compile in.
    """
    compiler = MODULES / ".bin" / "tsc"
    if not compiler.exists() or shutil.which("node") is None:
        pytest.skip("npm's packages are missing: custom resources are not checked")
    unknown = [each["kind"] for each in objects if (each["apiVersion"], each["kind"]) not in TYPES]
    assert not unknown, f"no types are known for {unknown}: add them to TYPES"
    lines = []
    for number, each in enumerate(objects):
        kind, version = each["kind"], each["apiVersion"]
        lines += [
            f'import type {{ I{kind} as T{number} }} from "{TYPES[version, kind]}";',
            f'export const v{number}: Omit<T{number}, "apiVersion"> & {{ apiVersion: "{version}" }} =',
            f"  {json.dumps(each)};",
        ]
    (folder / "resources.ts").write_text("\n".join(lines), encoding="utf-8")
    options = {
        "noEmit": True,
        "strict": True,
        "module": "esnext",
        "moduleResolution": "bundler",
        "target": "es2022",
        "skipLibCheck": True,
        "types": [],
        "paths": {
            "@kubernetes-models/*": [f"{MODULES}/@kubernetes-models/*"],
            "cairn-tests/*": [f"{MODULES.parent}/*"],
        },
    }
    configuration = {"compilerOptions": options, "include": ["*.ts"]}
    (folder / "tsconfig.json").write_text(json.dumps(configuration), encoding="utf-8")
    done = subprocess.run(
        [compiler, "-p", folder], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode == 0) == (not done.stdout), done.stderr
    return done.stdout
