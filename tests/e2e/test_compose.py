"""The promises, kept by `docker compose up`: MariaDB, Redis, everything in a container of its own."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import httpx
import pytest

from tests import behaviour
from tests.e2e.servers import ROOT, answers, clean_environment, free_port, run, until

OURS = ("web", "worker")
IMAGES = ("registry:2", "nginx:1.28", "mariadb:11.4", "python:3.11-slim", "redis:7")
STAND_INS = ROOT.parent / "shared" / "standin-images" / "build"
"""Builds local images under the public names, on machines where no image can be pulled."""


@dataclass(frozen=True)
class Compose:
    """The compose file under a project name of its own."""

    project: str
    port: int

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __call__(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
        tool = ["docker", "compose"] if plugin else ["docker-compose"]
        # The classic builder: the newer one is a plugin that Debian does not package.
        environment = {} if plugin else {"DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}
        environment = clean_environment(AUTHSVC_PORT=str(self.port), **environment)
        return run(*tool, "-p", self.project, *arguments, stdin=stdin, env=environment, check=check)

    def authsvc(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return self("exec", "-T", "web", "authsvc", *arguments, stdin=stdin or "", check=check)

    def logs(self, request_id: str) -> Sequence[str]:
        parts = ("nginx", "registry", "web", "worker")
        return [part for part in parts if request_id in self("logs", "--no-color", part).stdout]

    def inspect(self, service: str) -> dict[str, object]:
        container = self("ps", "-q", service).stdout.strip()
        found: dict[str, object] = json.loads(run("docker", "inspect", container).stdout)[0]
        return found


@pytest.fixture(scope="module")
def site(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    if STAND_INS.exists():
        run(str(STAND_INS), *IMAGES)
    compose = Compose(f"authsvc-{tmp_path_factory.mktemp('compose').name.lower()}-{free_port()}", free_port())
    try:
        compose("up", "-d", "--build")
        until(lambda: answers(f"http://{compose.host}/readyz"), "the first answer of `docker compose up`")
        until(lambda: _is_healthy(compose), "every container's health")
        behaviour.cast(compose)
        yield compose
    finally:
        compose("down", "--volumes", "--timeout", "5", check=False)


def _is_healthy(compose: Compose) -> bool:
    states = [compose.inspect(service)["State"] for service in (*OURS, "nginx", "registry", "mariadb", "redis")]
    return all(state["Health"]["Status"] == "healthy" for state in states)


class TestDocker(behaviour.DockerPromises):
    pass


class TestOtherClients(behaviour.OtherClientPromises):
    pass


class TestService(behaviour.ServicePromises):
    pass


@pytest.mark.parametrize("service", [*OURS, "nginx"])
def test_it_runs_as_an_ordinary_user(site: Compose, service: str) -> None:
    assert int(site.inspect(service)["Config"]["User"].partition(":")[0]) > 0


@pytest.mark.parametrize("service", [*OURS, "nginx", "registry"])
def test_its_root_file_system_is_read_only(site: Compose, service: str) -> None:
    assert site.inspect(service)["HostConfig"]["ReadonlyRootfs"] is True


@pytest.mark.parametrize("service", [*OURS, "nginx", "registry"])
def test_it_has_no_capability(site: Compose, service: str) -> None:
    assert site.inspect(service)["HostConfig"]["CapDrop"] == ["ALL"]


@pytest.mark.parametrize("service", [*OURS, "nginx", "registry", "mariadb", "redis"])
def test_only_nginx_publishes_a_port(site: Compose, service: str) -> None:
    published = [port for port in site.inspect(service)["NetworkSettings"]["Ports"].values() if port]
    assert bool(published) is (service == "nginx")


def test_no_secret_stands_in_an_environment_or_the_compose_file(site: Compose) -> None:
    secrets = site(
        "exec", "-T", "web", "sh", "-c", "for name in /data/secrets/*; do cat $name; echo; done"
    ).stdout.split()
    services = (*OURS, "nginx", "registry", "mariadb", "redis")
    shown = json.dumps([site.inspect(service) for service in services]) + (ROOT / "docker-compose.yml").read_text()
    assert len(secrets) == 7
    assert [secret for secret in secrets if secret in shown] == []


def test_web_cannot_read_the_private_key_of_the_ca(site: Compose) -> None:
    assert "ca.key" not in site("exec", "-T", "web", "ls", "/data/ca").stdout


def test_a_second_up_changes_no_secret(site: Compose) -> None:
    def secrets() -> str:
        return site("exec", "-T", "worker", "sh", "-c", "cat /data/secrets/* /data/ca/*").stdout

    before = secrets()
    site("up", "-d")
    until(lambda: answers(f"http://{site.host}/readyz"), "an answer after the second `docker compose up`")
    assert secrets() == before


def test_two_instances_share_the_work_and_one_of_them_is_enough(site: Compose) -> None:
    def instances() -> list[str]:
        return site("ps", "-q", "web").stdout.split()

    def are_healthy() -> bool:
        found = [json.loads(run("docker", "inspect", one).stdout)[0]["State"] for one in instances()]
        return len(found) == 2 and all(state.get("Health", {}).get("Status") == "healthy" for state in found)

    try:
        site("up", "-d", "--no-recreate", "--scale", "web=2", "web")
        until(are_healthy, "the health of both")
        for stopped in instances():
            run("docker", "stop", "--time", "5", stopped)
            statuses = {httpx.get(f"http://{site.host}/service/token?n={n}", timeout=30).status_code for n in range(30)}
            run("docker", "start", stopped)
            until(are_healthy, "the health of both again")
            assert statuses == {200}
    finally:
        site("up", "-d", "--no-recreate", "--scale", "web=1", "web")
