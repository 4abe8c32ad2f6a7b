"""What the files in docker/ say, as far as that can be seen without running them."""

import re

import pytest
import yaml

from . import image
from .topology import DOCKER, read_compose

SERVICES = read_compose()["services"]
every_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


@every_service
def test_all_services_are_one_image_and_see_the_data_at_one_path(service):
    first = SERVICES["scheduler"]
    for key in ("image", "build", "volumes", "init", "restart", "cap_drop", "security_opt"):
        assert service[key] == first[key]
    assert service["volumes"] == [f"data:{image.values('WORKDIR')[-1]}"]
    assert service["build"]["context"] == ".."
    assert (image.ROOT / service["build"]["dockerfile"]).samefile(image.DOCKERFILE)


@every_service
def test_every_service_has_a_health_check_and_listens_where_the_image_says(service):
    [port] = re.findall(r"127\.0\.0\.1:(\d+)", " ".join(service["healthcheck"]["test"]))
    exposed = " ".join(image.values("EXPOSE")).split()
    assert port in exposed
    assert re.search(rf"\b{port}\b", " ".join(service["command"]))
    for published in service.get("ports", []):
        # To this machine only: neither a dashboard nor a notebook is for the whole network.
        address, _, inside = published.split(":")
        assert address == "127.0.0.1"
        assert inside == port


def test_the_image_is_of_a_user_without_rights():
    steps = image.steps()
    assert [step.value for step in steps if step.instruction == "USER"] == ["daskelm"]
    after = steps[[step.instruction for step in steps].index("USER") :]
    assert not [step for step in after if step.instruction in ("RUN", "COPY")]
    [making] = [value for value in image.values("RUN") if value not in image.installing()]
    assert f"--home-dir {image.environment()['HOME']} " in making
    assert making.endswith(f"--owner=daskelm --group=daskelm {image.values('WORKDIR')[-1]}")


def test_python_is_that_of_the_tests():
    [base] = image.values("FROM")
    assert base.startswith("python:3.11-")


def test_what_is_copied_is_sent_to_the_engine_and_nothing_else(tmp_path):
    image.copy_files(tmp_path)
    copied = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "daskelm/__init__.py"} <= copied
    assert {"daskelm/py.typed", "daskelm/cli/commands.py"} <= copied
    assert not [path for path in copied if "__pycache__" in path]
    for path in (".git/config", ".venv/bin/python", "tests/conftest.py", "docker/certificates/key.pem"):
        assert not image.sent(path)


def test_variables_are_filled_in_and_lists_are_joined():
    compose = read_compose(variables={"DASKELM_DATA": "./mine", "DASKELM_WORKER_THREADS": "4"})
    assert compose["services"]["worker"]["volumes"] == ["./mine:/srv/data"]
    assert "4" in compose["services"]["worker"]["command"]
    assert compose["services"]["worker"]["deploy"]["resources"]["limits"] == {"cpus": "4", "memory": "2g"}


def test_the_override_changes_every_address_to_tls():
    secured = read_compose(("compose.yaml", "compose.tls.yaml"))
    for name, service in secured["services"].items():
        told = service["environment"]
        assert told["DASK_SCHEDULER_ADDRESS"] == "tls://scheduler:8786"
        assert told["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"] == "true"
        # What the other file says is still there.
        assert (
            told.items() >= (SERVICES[name]["environment"] | {"DASK_SCHEDULER_ADDRESS": "tls://scheduler:8786"}).items()
        )
        assert service["secrets"] == ["ca.pem", "certificate.pem", "key.pem"]
        assert service["command"] == SERVICES[name]["command"]
    files = {secret["file"] for secret in secured["secrets"].values()}
    assert files == {f"./certificates/{name}" for name in ("ca.pem", "certificate.pem", "key.pem")}


def test_the_readme_names_every_variable_and_every_file():
    text = (DOCKER / "README.md").read_text()
    compose = (DOCKER / "compose.yaml").read_text()
    for name in {*re.findall(r"\$\{(\w+)", compose), "JUPYTER_TOKEN"}:
        assert f"`{name}`" in text
    for path in DOCKER.iterdir():
        if path.is_file() and path.name != "README.md":
            assert f"`{path.name}`" in text, path.name
    yaml.safe_load(compose)
