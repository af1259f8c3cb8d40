"""What users are promised, written once against a `site`, and run against every way to start one (tests/e2e)."""

import json
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Protocol

import httpx
import jwt

from tests.e2e import images
from tests.e2e.clients import Docker, Podman, Skopeo
from tests.e2e.servers import until

PASSWORDS = {name: f"{name[::-1]}-has-a-secret-7" for name in ("alice", "bob", "charlie", "stranger")}
DAVES = "daves-own-secret-7"

MAY = {"maintainer": {"pull", "push", "delete"}, "developer": {"pull", "push"}, "guest": {"pull"}}
"""What the documented roles may do at docker."""

HELD = {
    **{
        (name, project): role
        for name, role in {"alice": "maintainer", "bob": "developer", "charlie": "guest"}.items()
        for project in ("acme", "open")
    },
    ("bob", "library"): "developer",
}
"""The role of each of the cast in each project."""


class Site(Protocol):
    """A running installation."""

    host: str
    """As docker names it: address and port."""

    def authsvc(self, *arguments: str, stdin: str | None = None, check: bool = True) -> CompletedProcess[str]:
        """The command line of this installation."""

    def logs(self, request_id: str) -> Sequence[str]:
        """The parts in whose log this request id stands."""


def cast(site: Site) -> None:
    """alice maintains acme, bob develops there, charlie is a guest; stranger has an account and nothing else."""
    for name, password in PASSWORDS.items():
        site.authsvc("user", "add", name, "--password-stdin", stdin=password)
    site.authsvc("project", "add", "acme")
    site.authsvc("project", "add", "open", "--public")
    for (name, project), role in HELD.items():
        site.authsvc("member", "set", project, name, role)


def person(name: str) -> Skopeo:
    return Skopeo(f"{name}:{PASSWORDS[name]}")


def checked(token: str, also: str = "") -> dict[str, Any]:
    """A token's claims, of which nothing goes beyond what the cast may; `also` is a role given in acme meanwhile."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    for entry in claims["access"]:
        if entry["type"] == "registry":
            assert (claims["sub"], entry["name"], entry["actions"]) == ("admin", "catalog", ["*"]), claims
            continue
        first, slash, _ = entry["name"].partition("/")
        project = first if slash else "library"
        allowed = {"pull"} if project == "open" else set()
        allowed = allowed | MAY.get(HELD.get((claims["sub"], project), ""), set())
        allowed = allowed | (MAY.get(also, set()) if project == "acme" else set())
        if claims["sub"] == "admin" and project in {"acme", "open", "library"}:
            allowed = MAY["maintainer"]
        assert (entry["type"], set(entry["actions"]) <= allowed) == ("repository", True), claims
    return claims


def access(site: Site, scope: str, name: str = "", also: str = "") -> dict[str, list[str]]:
    """What a token for `scope` says: the actions by resource."""
    who = (name, PASSWORDS[name]) if name else None
    answer = httpx.get(f"http://{site.host}/service/token", params={"service": "authsvc", "scope": scope}, auth=who)
    answer.raise_for_status()
    return {entry["name"]: entry["actions"] for entry in checked(answer.json()["token"], also)["access"]}


class DockerPromises:
    """`docker login`, `push`, `pull` and `logout` do what the roles say."""

    def test_a_developer_pushes_and_pulls(self, site: Site, docker: Docker) -> None:
        reference = f"{site.host}/acme/web:docker"
        docker.login(site.host, "bob", PASSWORDS["bob"])
        docker.image(reference)
        docker("push", reference)
        docker("rmi", "-f", reference)
        docker("pull", reference)

    def test_a_guest_pulls_and_cannot_push(self, site: Site, docker: Docker, acme_image: str) -> None:
        docker.login(site.host, "charlie", PASSWORDS["charlie"])
        docker("pull", acme_image)
        pushed = docker("push", acme_image, check=False)
        assert "denied: requested access to the resource is denied" in pushed.stderr

    def test_a_stranger_cannot_pull_from_a_private_project(self, site: Site, docker: Docker, acme_image: str) -> None:
        docker.login(site.host, "stranger", PASSWORDS["stranger"])
        pulled = docker("pull", acme_image, check=False)
        assert "pull access denied" in pulled.stderr

    def test_anybody_pulls_from_a_public_project(self, docker: Docker, open_image: str) -> None:
        docker("pull", open_image)

    def test_a_wrong_password_is_named_as_such(self, site: Site, docker: Docker) -> None:
        refused = docker.login(site.host, "bob", "not-the-password", check=False)
        assert "unauthorized: wrong user name or password" in refused.stderr

    def test_a_disabled_user_is_refused_with_the_reason(self, site: Site, docker: Docker) -> None:
        site.authsvc("user", "add", "dave", "--password-stdin", stdin=DAVES)
        docker.login(site.host, "dave", DAVES)
        site.authsvc("user", "disable", "dave")

        def is_refused() -> bool:
            refused = docker.login(site.host, "dave", DAVES, check=False)
            return "the account dave is disabled" in refused.stderr

        until(is_refused, "the refusal of a disabled user")

    def test_after_logout_a_private_image_is_out_of_reach(self, site: Site, docker: Docker, acme_image: str) -> None:
        docker.login(site.host, "bob", PASSWORDS["bob"])
        docker("logout", site.host)
        assert docker("pull", acme_image, check=False).returncode != 0

    def test_layers_are_mounted_from_another_project(self, site: Site, docker: Docker, acme_image: str) -> None:
        docker.login(site.host, "bob", PASSWORDS["bob"])
        docker("pull", acme_image)
        docker("tag", acme_image, f"{site.host}/open/mounted:1")
        assert "Mounted from acme/" in docker("push", f"{site.host}/open/mounted:1").stdout

    def test_a_name_without_a_slash_belongs_to_the_root_project(self, site: Site, docker: Docker) -> None:
        docker.login(site.host, "bob", PASSWORDS["bob"])
        docker.image(f"{site.host}/plain:1")
        docker("push", f"{site.host}/plain:1")
        assert access(site, "repository:plain:pull,push", "bob") == {"plain": ["pull", "push"]}
        assert access(site, "repository:plain:pull", "stranger") == {}


class OtherClientPromises:
    """skopeo and podman, too."""

    def test_skopeo_copies_as_a_developer(self, site: Site, tmp_path: Path) -> None:
        source = images.make(tmp_path / "image", layers=2)
        person("bob").copy(f"dir:{source}", f"docker://{site.host}/acme/skopeo:1")
        person("charlie").copy(f"docker://{site.host}/acme/skopeo:1", f"dir:{tmp_path / 'back'}")

    def test_skopeo_inspects_and_lists_as_a_guest(self, acme_image: str) -> None:
        repository, _, tag = acme_image.rpartition(":")
        assert json.loads(person("charlie")("inspect", f"docker://{acme_image}").stdout)["Digest"]
        assert tag in json.loads(person("charlie")("list-tags", f"docker://{repository}").stdout)["Tags"]

    def test_skopeo_as_a_stranger_sees_nothing(self, acme_image: str) -> None:
        assert person("stranger")("inspect", f"docker://{acme_image}", check=False).returncode != 0

    def test_skopeo_as_nobody_reads_a_public_image(self, open_image: str) -> None:
        Skopeo()("inspect", f"docker://{open_image}")

    def test_skopeo_deletes_as_a_maintainer_only(self, site: Site, tmp_path: Path) -> None:
        target = f"docker://{site.host}/acme/deleted:1"
        person("bob").copy(f"dir:{images.make(tmp_path / 'image')}", target)
        assert person("bob")("delete", target, check=False).returncode != 0
        person("alice")("delete", target)
        assert person("bob")("inspect", target, check=False).returncode != 0

    def test_podman_pushes_and_pulls(self, site: Site, podman: Podman, tmp_path: Path) -> None:
        reference = f"{site.host}/acme/podman:1"
        podman("login", "--tls-verify=false", "-u", "bob", "--password-stdin", site.host, stdin=PASSWORDS["bob"])
        podman("pull", f"dir:{images.make(tmp_path / 'image')}")
        made = podman("images", "-q").stdout.split()[0]
        podman("push", "--tls-verify=false", made, f"docker://{reference}")
        podman("rmi", "-f", made)
        podman("pull", "--tls-verify=false", reference)


class ServicePromises:
    """What the command line and the token endpoint promise."""

    def test_a_role_that_is_given_or_taken_away_counts_in_the_next_tokens(self, site: Site) -> None:
        def held() -> dict[str, list[str]]:
            return access(site, "repository:acme/web:pull,push", "stranger", also="developer")

        site.authsvc("member", "set", "acme", "stranger", "developer")
        until(lambda: held() == {"acme/web": ["pull", "push"]}, "the new role in a token")
        site.authsvc("member", "remove", "acme", "stranger")
        until(lambda: held() == {}, "a token without the role")

    def test_a_wrong_password_is_refused_even_where_anybody_may_pull(self, site: Site) -> None:
        answer = httpx.get(
            f"http://{site.host}/service/token", params={"scope": "repository:open/x:pull"}, auth=("bob", "wrong")
        )
        assert answer.status_code == 401
        assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"

    def test_a_refused_login_stands_in_the_audit_trail(self, site: Site) -> None:
        answer = httpx.get(f"http://{site.host}/service/token", auth=("charlie", "wrong"))
        rows = json.loads(site.authsvc("audit", "list", "--json").stdout)
        mine = [row for row in rows if row["request_id"] == answer.headers["x-request-id"]]
        assert [(row["action"], row["object"], row["result"]) for row in mine] == [("login", "charlie", "refused")]
        site.authsvc("audit", "verify")

    def test_the_files_of_the_site_come_compressed_and_its_pages_do_not(self, site: Site) -> None:
        style, page = (httpx.get(f"http://{site.host}{path}") for path in ("/static/vendor/pico.min.css", "/login"))
        assert (style.status_code, style.headers.get("content-encoding")) == (200, "gzip")
        assert (page.status_code, page.headers.get("content-encoding")) == (200, None)

    def test_one_request_id_stands_in_every_log(self, site: Site) -> None:
        at_web = httpx.get(f"http://{site.host}/service/token", auth=("charlie", "wrong")).headers["x-request-id"]
        at_registry = httpx.get(f"http://{site.host}/v2/").headers["x-request-id"]
        # A part writes its line after its answer.
        until(lambda: set(site.logs(at_web)) == {"nginx", "web"}, "the id in the logs of nginx and web")
        until(lambda: set(site.logs(at_registry)) == {"nginx", "registry"}, "the id in those of nginx and the registry")

    def test_only_an_administrator_lists_the_catalog(self, site: Site) -> None:
        assert access(site, "registry:catalog:*", "bob") == {}

    def test_explain_names_the_row_that_decides(self, site: Site) -> None:
        answer = site.authsvc("explain", "charlie", "push", "acme/web", check=False)
        assert answer.returncode == 3
        assert "charlie is guest of project acme" in answer.stdout

    def test_the_doctor_finds_nothing_wrong(self, site: Site) -> None:
        site.authsvc("doctor")

    def test_every_part_is_healthy(self, site: Site) -> None:
        assert httpx.get(f"http://{site.host}/api/v2.0/health").json()["status"] == "healthy"

    def test_the_challenge_names_the_address_that_was_used(self, site: Site) -> None:
        name = f"registry.example:{site.host.rpartition(':')[2]}"
        answer = httpx.get(f"http://{site.host}/v2/", headers={"Host": name})
        assert f'realm="http://{name}/service/token"' in answer.headers["www-authenticate"]

    def test_an_error_of_nginx_is_in_dockers_envelope(self, site: Site) -> None:
        answer = httpx.get(f"http://{site.host}/service/token", headers={"X-Long": "x" * 40_000})
        assert answer.json()["errors"][0]["code"] == "UNKNOWN"
