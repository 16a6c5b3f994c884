"""Pins that what a platform team deploys is valid and names things that exist."""

import os
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from engine.presets import load_config

ROOT = Path(__file__).parents[2]
CRDS = os.environ.get("STARLOOP_TEST_CRDS")
MANIFESTS = sorted((ROOT / "cluster").glob("*.yaml"))


def strict(schema: Any) -> Any:
    """The CRD's schema as plain JSON Schema in which an unknown field is an error."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: strict(value) for key, value in schema.items()}
    if plain.pop("x-kubernetes-int-or-string", None):
        plain.pop("type", None)
        plain["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if plain.get("type") == "object" and "properties" in plain and not plain.get("x-kubernetes-preserve-unknown-fields"):
        plain.setdefault("additionalProperties", False)
    return plain


@pytest.mark.skipif(CRDS is None, reason="set STARLOOP_TEST_CRDS to a folder with KubeRay's CRDs to validate against them")
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_validate_against_the_crds(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        with open(Path(CRDS or "") / f"{document['kind'].lower()}s.yaml") as file:
            crd = yaml.load(file, Loader=yaml.CSafeLoader)
        version = next(v for v in crd["spec"]["versions"] if f"ray.io/{v['name']}" == document["apiVersion"])
        schema = strict(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"type": "object"}
        jsonschema.Draft7Validator(schema).validate(document)
        with pytest.raises(jsonschema.ValidationError):  # the check can fail
            jsonschema.Draft7Validator(schema).validate(document | {"spec": document["spec"] | {"entrypont": "x"}})


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_entrypoints_name_a_job_and_a_config_that_parses(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        words = shlex.split(document["spec"]["entrypoint"])
        assert words[:4] == ["python", "-m", "jobs", "selftrain"]
        settings = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
        load_config(ROOT / words[4], settings)


def test_the_image_has_the_ray_that_the_project_pins() -> None:
    dockerfile = (ROOT / "cluster" / "Dockerfile").read_text()
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert f"rayproject/ray:{pinned[1]}-" in dockerfile
    assert all(
        document["spec"]["rayClusterSpec"]["rayVersion"] == pinned[1]
        for p in MANIFESTS
        for document in [yaml.safe_load(p.read_text())]
    )
    for copied in re.findall(r"COPY --chown=ray (.+) \S+", dockerfile):
        assert all((ROOT / name).exists() for name in copied.split())
