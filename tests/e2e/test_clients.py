"""Clients of every kind, with every kind of credential: passwords, identity tokens, robots, access tokens.

Beside each client the same credentials are shown to the token endpoint, and what its token says is compared with the
rights table. How a client asked is read from nginx's log: its password form, its OAuth2 form, or both.
"""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from authsvc.domain.permissions import DELETE, PULL, PUSH, Role
from tests import behaviour
from tests.behaviour import PASSWORDS, person
from tests.e2e import images, native
from tests.e2e.clients import Buildah, Containerd, Docker, Done, Podman, Skopeo, write_auth_file
from tests.e2e.native import Hasty, Native
from tests.e2e.protocol import PATH, ask, by_table, granted, is_refused, password, refresh, refresh_token
from tests.e2e.servers import run, until

ENDED = "this login has ended: run docker login again"
NO_ROBOT = "wrong robot name or secret, or it was changed, disabled or has expired"
NO_TOKEN = "this access token is wrong, was revoked or has expired"
NO_PASSWORDS = "this registry takes no passwords: use a personal access token in place of it"
DENIED = "denied: requested access to the resource is denied"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Native]:
    installed = native.new(tmp_path_factory.mktemp("clients"))
    with installed.running(AUTHSVC_TOKEN__REFRESH_TOKENS="true"):
        behaviour.cast(Hasty(installed.home, installed.port))
        yield installed


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Native]:
    """A site where people's passwords are not for docker."""
    installed = native.new(tmp_path_factory.mktemp("strict"))
    with installed.running(AUTHSVC_TOKEN__PASSWORDS="false"):
        behaviour.cast(Hasty(installed.home, installed.port))
        yield installed


@pytest.fixture
def hasty(site: Native) -> Native:
    """The command line for what a test needs before it begins."""
    return Hasty(site.home, site.port)


@pytest.fixture
def image(tmp_path: Path) -> str:
    return f"dir:{images.make(tmp_path / 'image', layers=2)}"


def _asked(seen: list[dict[str, Any]], agent: str) -> set[tuple[str, int]]:
    """How clients of this kind asked for tokens, and how they were answered."""
    mine = [line for line in seen if line["path"] == PATH and agent in line["agent"].lower()]
    return {(line["method"], line["status"]) for line in mine}


def _pushed(docker: Docker, reference: str) -> Done:
    docker.image(reference)
    return docker("push", reference, check=False)


def _made(site: Native, *command: str) -> str:
    return str(json.loads(site.authsvc(*command, "--json").stdout)["secret"])


class TestIdentityTokens:
    """Where the setting allows it, a client keeps a refresh token in place of the password."""

    def test_docker_keeps_no_password_and_pushes_and_pulls(self, site: Native, docker: Docker) -> None:
        reference = f"{site.host}/acme/identity:docker"
        docker.login(site.host, "bob", PASSWORDS["bob"])
        docker.image(reference)
        with site.requests() as seen:
            docker("push", reference)
            docker("rmi", "-f", reference)
            docker("pull", reference)
        kept = docker.kept(site.host)
        assert kept["auth"] == "Ym9iOg=="  # base64 of "bob:"
        assert _asked(seen, "docker") == {("POST", 200)}
        answer = refresh(site, kept["identitytoken"], "repository:acme/identity:push,pull")
        assert granted(site, answer, to="bob") == by_table("acme/identity", "pull,push", Role.DEVELOPER)

    def test_a_guests_identity_token_gives_no_more_than_the_guest_has(self, site: Native, docker: Docker) -> None:
        docker.login(site.host, "charlie", PASSWORDS["charlie"])
        assert DENIED in _pushed(docker, f"{site.host}/acme/identity:guest").stderr
        answer = refresh(site, docker.kept(site.host)["identitytoken"], "repository:acme/identity:pull,push")
        assert granted(site, answer, to="charlie") == by_table("acme/identity", "pull,push", Role.GUEST)

    def test_docker_says_that_a_revoked_login_has_ended(self, site: Native, docker: Docker, hasty: Native) -> None:
        hasty.authsvc("user", "add", "leaver", "--password-stdin", stdin="leaver-has-a-secret-7")
        hasty.authsvc("member", "set", "acme", "leaver", "developer")
        reference = f"{site.host}/acme/identity:revoked"
        docker.login(site.host, "leaver", "leaver-has-a-secret-7")
        before = _pushed(docker, reference)
        site.authsvc("refresh-token", "revoke", "--user", "leaver")
        assert before.returncode == 0, before.stderr
        until(lambda: ENDED in _pushed(docker, reference).stderr, "docker's word that the login has ended")

    def test_skopeo_copies_with_one(self, site: Native, image: str, tmp_path: Path) -> None:
        token = refresh_token(site, "bob")
        skopeo = Skopeo(auth_file=write_auth_file(tmp_path / "auth.json", site.host, "bob", identity_token=token))
        with site.requests() as seen:
            skopeo.copy(image, f"docker://{site.host}/acme/identity:skopeo")
            skopeo.copy(f"docker://{site.host}/acme/identity:skopeo", f"dir:{tmp_path / 'back'}")
        assert _asked(seen, "skopeo") == {("POST", 200)}

    def test_a_chunked_form_that_repeats_its_scopes_is_answered_in_full(self, site: Native) -> None:
        """As skopeo and podman send it, who ask for several repositories only when they mount layers."""
        both = ["repository:acme/one:pull,push", "repository:open/two:pull,push", "repository:library/three:pull"]
        form = _chunked(refresh_token(site, "charlie"), both)
        answer = run(
            "curl", "-sS", "-H", "Transfer-Encoding: chunked", "-H", "Content-Type: application/x-www-form-urlencoded",
            "--data-binary", "@-", f"http://{site.host}{PATH}", stdin=form,
        )  # fmt: skip
        access = granted(site, httpx.Response(200, text=answer.stdout), to="charlie")
        guest = Role.GUEST
        assert access == by_table("acme/one", "pull,push", guest) | by_table("open/two", "pull,push", guest)

    def test_podman_pushes_and_pulls_with_one(self, site: Native, podman: Podman, image: str) -> None:
        token = refresh_token(site, "bob")
        write_auth_file(podman.root / "auth.json", site.host, "bob", identity_token=token)
        with site.requests() as seen:
            _push_and_pull_with_podman(podman, image, f"{site.host}/acme/identity:podman")
        assert _asked(seen, "containers/") == {("POST", 200)}

    def test_podman_is_refused_when_it_was_revoked(self, site: Native, podman: Podman, hasty: Native) -> None:
        token = refresh_token(site, "alice")
        write_auth_file(podman.root / "auth.json", site.host, "alice", identity_token=token)
        hasty.authsvc("refresh-token", "revoke", "--user", "alice")
        pulled = podman("pull", "--tls-verify=false", f"{site.host}/acme/identity:none", check=False)
        assert pulled.returncode != 0
        assert is_refused(refresh(site, token))


def _chunked(token: str, scopes: list[str]) -> str:
    fields = [("grant_type", "refresh_token"), ("refresh_token", token), ("service", "authsvc"), ("client_id", "c")]
    return urlencode([*fields, *(("scope", scope) for scope in scopes)])


def _push_and_pull_with_podman(podman: Podman, image: str, reference: str) -> None:
    podman("pull", image)
    made = podman("images", "-q").stdout.split()[0]
    podman("push", "--tls-verify=false", made, f"docker://{reference}")
    podman("rmi", "-f", made)
    podman("pull", "--tls-verify=false", reference)


class TestPasswords:
    """The clients that behaviour.py has not, and how they ask."""

    def test_containerd_pushes_and_pulls_by_post_first(
        self, site: Native, containerd: Containerd, image: str, tmp_path: Path
    ) -> None:
        reference, archive = f"{site.host}/acme/containerd:1", tmp_path / "image.tar"
        Skopeo().copy(image, f"docker-archive:{archive}:{reference}")
        containerd("images", "import", "--no-unpack", str(archive))
        who = ["--plain-http", "--user", f"bob:{PASSWORDS['bob']}"]
        with site.requests() as seen:
            containerd("images", "push", *who, reference)
            containerd("images", "rm", "--sync", reference)
            containerd("images", "pull", "--snapshotter", "native", *who, reference)
        assert _asked(seen, "containerd") == {("POST", 200)}
        answer = ask(site, "repository:acme/containerd:pull,push", password("bob"))
        assert granted(site, answer, to="bob") == by_table("acme/containerd", "pull,push", Role.DEVELOPER)

    def test_containerd_does_not_push_as_a_guest(
        self, site: Native, containerd: Containerd, image: str, tmp_path: Path
    ) -> None:
        reference, archive = f"{site.host}/acme/containerd:guest", tmp_path / "image.tar"
        Skopeo().copy(image, f"docker-archive:{archive}:{reference}")
        containerd("images", "import", "--no-unpack", str(archive))
        who = ["--plain-http", "--user", f"charlie:{PASSWORDS['charlie']}"]
        pushed = containerd("images", "push", *who, reference, check=False)
        assert "insufficient_scope: authorization failed" in pushed.stderr

    def test_containerd_with_a_wrong_password_asks_in_both_forms(self, site: Native, containerd: Containerd) -> None:
        who = ["--plain-http", "--user", "bob:not-the-password"]
        with site.requests() as seen:
            pulled = containerd("images", "pull", *who, f"{site.host}/acme/containerd:1", check=False)
        assert pulled.returncode != 0
        assert _asked(seen, "containerd") == {("POST", 401), ("GET", 401)}

    def test_podman_pushes_and_pulls_by_get(self, site: Native, podman: Podman, image: str) -> None:
        write_auth_file(podman.root / "auth.json", site.host, "bob", password=PASSWORDS["bob"])
        with site.requests() as seen:
            _push_and_pull_with_podman(podman, image, f"{site.host}/acme/password:podman")
        assert _asked(seen, "containers/") == {("GET", 200)}

    def test_skopeo_copies_by_get(self, site: Native, image: str) -> None:
        with site.requests() as seen:
            person("bob").copy(image, f"docker://{site.host}/acme/password:skopeo")
        assert _asked(seen, "skopeo") == {("GET", 200)}

    def test_buildah_builds_pushes_and_pulls(self, site: Native, buildah: Buildah, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("content")
        who = ["--tls-verify=false", "--creds", f"bob:{PASSWORDS['bob']}"]
        made = _built(buildah, tmp_path / "file")
        with site.requests() as seen:
            buildah("push", *who, made, f"docker://{site.host}/acme/buildah:1")
            buildah("rmi", made)
            buildah("pull", *who, f"{site.host}/acme/buildah:1")
        assert _asked(seen, "buildah") == {("GET", 200)}

    def test_buildah_does_not_push_as_a_guest(self, site: Native, buildah: Buildah, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("content")
        made, who = _built(buildah, tmp_path / "file"), f"charlie:{PASSWORDS['charlie']}"
        pushed = buildah(
            "push", "--tls-verify=false", "--creds", who, made, f"docker://{site.host}/acme/buildah:guest", check=False
        )
        assert pushed.returncode != 0
        assert "denied" in pushed.stderr


def _built(buildah: Buildah, content: Path) -> str:
    container = buildah("from", "scratch").stdout.strip()
    buildah("copy", container, str(content), "/file")
    made = buildah("commit", "--quiet", container).stdout.strip()
    buildah("rm", container)
    return made


class TestRobots:
    """A robot pushes where it may, until it is disabled, renewed or deleted."""

    @pytest.fixture
    def robot(self, hasty: Native) -> tuple[str, str]:
        """The name and secret of a robot of project acme that may push."""
        name = f"ci-{secrets.token_hex(4)}"
        secret = _made(hasty, "robot", "add", name, "--project", "acme", "--allow", "acme:repository:push")
        return f"robot$acme+{name}", secret

    def test_docker_pushes_and_pulls_as_one(self, site: Native, docker: Docker, robot: tuple[str, str]) -> None:
        reference = f"{site.host}/acme/robot:docker"
        docker.login(site.host, *robot)
        assert _pushed(docker, reference).returncode == 0
        docker("pull", reference)
        assert "identitytoken" not in docker.kept(site.host)
        answer = ask(site, "repository:acme/robot:pull,push,delete", robot)
        assert granted(site, answer, to=robot[0]) == by_table("acme/robot", "pull,push,delete", {PULL, PUSH})

    def test_skopeo_copies_as_one(self, site: Native, robot: tuple[str, str], image: str, tmp_path: Path) -> None:
        skopeo, reference = Skopeo(":".join(robot)), f"docker://{site.host}/acme/robot:skopeo"
        skopeo.copy(image, reference)
        skopeo.copy(reference, f"dir:{tmp_path / 'back'}")
        assert skopeo("delete", reference, check=False).returncode != 0

    def test_containerd_pulls_as_one_by_post(
        self, site: Native, containerd: Containerd, robot: tuple[str, str], image: str
    ) -> None:
        reference = f"{site.host}/acme/robot:containerd"
        person("bob").copy(image, f"docker://{reference}")
        who = ["--plain-http", "--user", ":".join(robot)]
        with site.requests() as seen:
            containerd("images", "pull", "--snapshotter", "native", *who, reference)
        assert _asked(seen, "containerd") == {("POST", 200)}

    def test_it_gets_nothing_outside_its_project(self, site: Native, robot: tuple[str, str], image: str) -> None:
        copied = Skopeo(":".join(robot)).copy(image, f"docker://{site.host}/open/robot:1", check=False)
        assert copied.returncode != 0
        answer = ask(site, "repository:open/robot:pull,push repository:library/x:pull", robot)
        assert granted(site, answer, to=robot[0]) == by_table("open/robot", "pull,push", Role.VISITOR)

    @pytest.mark.parametrize("end", [("set", "--disable"), ("refresh",), ("delete",)], ids=lambda end: end[0])
    def test_docker_is_refused_when_it_is_disabled_renewed_or_deleted(
        self, site: Native, docker: Docker, robot: tuple[str, str], image: str, end: tuple[str, ...]
    ) -> None:
        docker.login(site.host, *robot)
        site.authsvc("robot", end[0], robot[0], *end[1:])
        skopeo, reference = Skopeo(":".join(robot)), f"{site.host}/acme/robot:ended"
        until(lambda: NO_ROBOT in _pushed(docker, reference).stderr, "docker's word that the robot is refused")
        until(lambda: NO_ROBOT in skopeo.copy(image, f"docker://{reference}", check=False).stderr, "skopeo's, too")

    def test_its_new_secret_is_good(self, site: Native, hasty: Native, robot: tuple[str, str], image: str) -> None:
        secret = _made(hasty, "robot", "refresh", robot[0])
        Skopeo(f"{robot[0]}:{secret}").copy(image, f"docker://{site.host}/acme/robot:renewed")

    def test_it_is_let_in_again_when_enabled(self, site: Native, hasty: Native, robot: tuple[str, str]) -> None:
        hasty.authsvc("robot", "set", robot[0], "--disable")
        until(lambda: is_refused(ask(site, who=robot)), "the refusal of a disabled robot")
        hasty.authsvc("robot", "set", robot[0], "--enable")
        until(lambda: ask(site, who=robot).status_code == 200, "the robot's return")

    def test_it_is_refused_when_its_time_has_come(self, site: Native, robot: tuple[str, str]) -> None:
        site.sql("UPDATE robots SET expires_at = 1 WHERE name = ?", robot[0].removeprefix("robot$"))
        assert is_refused(ask(site, who=robot))

    def test_one_of_the_system_pulls_from_every_project_and_lists_the_catalog(
        self, site: Native, hasty: Native, image: str, tmp_path: Path
    ) -> None:
        allowed = ["--allow", "*:repository:pull", "--allow", "/:catalog:read"]
        who = "robot$mirror", _made(hasty, "robot", "add", "mirror", "--days", "-1", *allowed)
        reference = f"docker://{site.host}/acme/robot:mirrored"
        person("bob").copy(image, reference)
        Skopeo(":".join(who)).copy(reference, f"dir:{tmp_path / 'back'}")
        answer = ask(site, "repository:library/x:pull,push registry:catalog:*", who)
        assert granted(site, answer, to=who[0]) == {"library/x": ["pull"], "catalog": ["*"]}


class TestAccessTokens:
    """A personal access token is a password with limits."""

    def test_docker_pulls_with_one_that_may_only_pull(
        self, site: Native, docker: Docker, hasty: Native, acme_image: str
    ) -> None:
        token = _made(hasty, "access-token", "add", "bob", "reader", "--action", "pull")
        docker.login(site.host, "bob", token)
        docker("pull", acme_image)
        docker("tag", acme_image, f"{site.host}/acme/reader:1")
        assert DENIED in docker("push", f"{site.host}/acme/reader:1", check=False).stderr
        answer = ask(site, "repository:acme/reader:pull,push", ("bob", token))
        assert granted(site, answer, to="bob") == by_table("acme/reader", "pull,push", {PULL})

    def test_docker_keeps_it_and_gets_no_identity_token(self, site: Native, docker: Docker, hasty: Native) -> None:
        docker.login(site.host, "bob", _made(hasty, "access-token", "add", "bob", "kept"))
        assert "identitytoken" not in docker.kept(site.host)

    def test_one_is_limited_to_repositories_by_pattern(self, site: Native, hasty: Native, image: str) -> None:
        token = _made(hasty, "access-token", "add", "bob", "web only", "--repository", "acme/web-*")
        Skopeo(f"bob:{token}").copy(image, f"docker://{site.host}/acme/web-api:1")
        copied = Skopeo(f"bob:{token}").copy(image, f"docker://{site.host}/acme/db:1", check=False)
        assert copied.returncode != 0
        scope = "repository:acme/web-api:pull,push repository:acme/db:pull repository:acme/web-api/dev:pull"
        answer = ask(site, scope, ("bob", token))
        assert granted(site, answer, to="bob") == by_table("acme/web-api", "pull,push", Role.DEVELOPER)

    def test_one_gives_no_more_than_its_owner_has(self, site: Native, hasty: Native) -> None:
        token = _made(hasty, "access-token", "add", "charlie", "greedy", "--action", "pull", "--action", "push")
        answer = ask(site, "repository:acme/web:pull,push", ("charlie", token))
        assert granted(site, answer, to="charlie") == by_table("acme/web", "pull,push", Role.GUEST)

    def test_docker_says_that_a_revoked_one_is_no_longer_good(
        self, site: Native, docker: Docker, hasty: Native
    ) -> None:
        docker.login(site.host, "bob", _made(hasty, "access-token", "add", "bob", "revoked"))
        site.authsvc("access-token", "revoke", "bob", "revoked")
        reference = f"{site.host}/acme/web:revoked"
        until(lambda: NO_TOKEN in _pushed(docker, reference).stderr, "docker's word that the token is refused")

    def test_one_is_refused_when_its_time_has_come(self, site: Native, hasty: Native) -> None:
        token = _made(hasty, "access-token", "add", "bob", "old")
        site.sql("UPDATE access_tokens SET expires_at = 1 WHERE name = 'old'")
        assert is_refused(ask(site, who=("bob", token)))


class TestNoPasswords:
    """Where docker takes no passwords, it takes access tokens."""

    def test_docker_says_so(self, strict: Native, docker: Docker) -> None:
        refused = docker.login(strict.host, "bob", PASSWORDS["bob"], check=False)
        assert NO_PASSWORDS in refused.stderr

    def test_a_wrong_password_learns_nothing_of_it(self, strict: Native) -> None:
        answer = ask(strict, who=("bob", "not-the-password"))
        assert answer.json()["errors"][0]["message"] == "wrong user name or password"

    def test_docker_pushes_with_an_access_token(self, strict: Native, docker: Docker) -> None:
        token = _made(Hasty(strict.home, strict.port), "access-token", "add", "bob", "laptop")
        docker.login(strict.host, "bob", token)
        assert _pushed(docker, f"{strict.host}/acme/web:token").returncode == 0
        answer = ask(strict, "repository:acme/web:pull,push", ("bob", token))
        assert granted(strict, answer, to="bob") == by_table("acme/web", "pull,push", Role.DEVELOPER)

    def test_a_robot_is_no_person_and_pushes(self, strict: Native, image: str) -> None:
        hasty = Hasty(strict.home, strict.port)
        secret = _made(hasty, "robot", "add", "ci", "--project", "acme", "--allow", "acme:repository:push")
        Skopeo(f"robot$acme+ci:{secret}").copy(image, f"docker://{strict.host}/acme/web:robot")


class TestRoles:
    """Memberships that are limited to a pattern, that end, and roles of one's own making."""

    @pytest.fixture
    def member(self, hasty: Native) -> tuple[str, str]:
        """Somebody who is no member of anything yet."""
        name = f"member-{secrets.token_hex(4)}"
        hasty.authsvc("user", "add", name, "--password-stdin", stdin="members-own-secret-7")
        return name, "members-own-secret-7"

    def test_a_member_for_a_pattern_pushes_there_alone(
        self, site: Native, hasty: Native, docker: Docker, member: tuple[str, str]
    ) -> None:
        hasty.authsvc("member", "set", "acme", member[0], "developer", "--repository", "acme/team-*")
        docker.login(site.host, *member)
        assert _pushed(docker, f"{site.host}/acme/team-a:1").returncode == 0
        assert DENIED in _pushed(docker, f"{site.host}/acme/other:1").stderr
        answer = ask(site, "repository:acme/team-a:pull,push repository:acme/other:pull,push", member)
        assert granted(site, answer, to=member[0]) == by_table("acme/team-a", "pull,push", Role.DEVELOPER)

    def test_a_guest_of_all_may_be_developer_of_some(
        self, site: Native, hasty: Native, member: tuple[str, str]
    ) -> None:
        hasty.authsvc("member", "set", "acme", member[0], "guest")
        hasty.authsvc("member", "set", "acme", member[0], "developer", "--repository", "acme/team-*")
        answer = ask(site, "repository:acme/team-a:pull,push repository:acme/other:pull,push", member)
        everything = by_table("acme/other", "pull,push", Role.GUEST)
        some = by_table("acme/team-a", "pull,push", Role.DEVELOPER)
        assert granted(site, answer, to=member[0]) == everything | some

    def test_a_membership_ends(self, site: Native, hasty: Native, member: tuple[str, str], image: str) -> None:
        hasty.authsvc("member", "set", "acme", member[0], "developer", "--until", "2090-01-31")
        skopeo, scope = Skopeo(":".join(member)), "repository:acme/ends:pull,push"
        skopeo.copy(image, f"docker://{site.host}/acme/ends:1")
        before = granted(site, ask(site, scope, member), to=member[0])
        site.sql("UPDATE members SET ends_at = 1 WHERE ends_at > 3700000000")
        assert before == by_table("acme/ends", "pull,push", Role.DEVELOPER)
        until(lambda: granted(site, ask(site, scope, member), to=member[0]) == {}, "a token without the membership")
        again = f"docker://{site.host}/acme/ends:2"
        until(lambda: skopeo.copy(image, again, check=False).returncode != 0, "the refusal of a push")

    def test_a_role_of_ones_own_gives_what_it_says(
        self, site: Native, hasty: Native, member: tuple[str, str], image: str
    ) -> None:
        hasty.authsvc("role", "set", "janitor", str(PULL), str(DELETE))
        hasty.authsvc("member", "set", "acme", member[0], "janitor")
        reference = f"docker://{site.host}/acme/swept:1"
        person("bob").copy(image, reference)
        janitor = Skopeo(":".join(member))
        assert janitor.copy(image, f"docker://{site.host}/acme/swept:2", check=False).returncode != 0
        janitor("delete", reference)
        answer = ask(site, "repository:acme/swept:pull,push,delete", member)
        assert granted(site, answer, to=member[0]) == by_table("acme/swept", "pull,push,delete", {PULL, DELETE})

    def test_a_change_of_such_a_role_counts_in_the_next_tokens(
        self, site: Native, hasty: Native, member: tuple[str, str]
    ) -> None:
        hasty.authsvc("role", "set", "courier", str(PULL), str(PUSH))
        hasty.authsvc("member", "set", "acme", member[0], "courier")

        def held() -> dict[str, list[str]]:
            return granted(site, ask(site, "repository:acme/web:pull,push", member), to=member[0])

        before = held()
        site.authsvc("role", "set", "courier", str(PULL))
        assert before == by_table("acme/web", "pull,push", {PULL, PUSH})
        until(lambda: held() == by_table("acme/web", "pull,push", {PULL}), "a token of the changed role")
