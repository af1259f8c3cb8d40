"""nginx sends blobs itself, and answers exactly as the registry does: to whoever may pull, and to nobody else."""

import hashlib
import json
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests import behaviour
from tests.behaviour import person
from tests.e2e import images, native, servers
from tests.e2e.native import Hasty, Native
from tests.e2e.protocol import ask, password
from tests.e2e.servers import free_port, registry_config

COMPARED = (
    "content-length",
    "content-type",
    "content-range",
    "accept-ranges",
    "etag",
    "last-modified",
    "cache-control",
    "docker-content-digest",
    "docker-distribution-api-version",
)

OWN = {206: ["accept-ranges"], 304: ["content-length", "content-type"], 416: COMPARED, 412: COMPARED}
"""What nginx says in its own way beside a status: nothing that a client goes by."""


@dataclass(frozen=True)
class Blob:
    """A layer of an image that was pushed, its content, and a registry on the same storage that sends it itself."""

    site: Native
    bare: str
    digest: str
    content: bytes

    @property
    def path(self) -> str:
        return f"/v2/acme/blob/blobs/{self.digest}"

    @property
    def file(self) -> str:
        """Where it lies in the storage, as a path of a URL."""
        hexadecimal = self.digest.removeprefix("sha256:")
        return f"/docker/registry/v2/blobs/sha256/{hexadecimal[:2]}/{hexadecimal}/data"

    def ours(self, method: str = "GET", path: str = "", token: str = "", **headers: str) -> httpx.Response:
        """What the front answers."""
        shown = {"Authorization": f"Bearer {token}"} if token else {}
        return _ask(f"http://{self.site.host}{path or self.path}", method, shown | headers)

    def theirs(self, method: str = "GET", **headers: str) -> httpx.Response:
        """What a registry answers that sends blobs itself and asks nobody for a token."""
        return _ask(f"{self.bare}{self.path}", method, headers)

    def token(self, name: str, repository: str = "acme/blob") -> str:
        return str(ask(self.site, f"repository:{repository}:pull", password(name)).json()["token"])


def _ask(url: str, method: str, headers: dict[str, str]) -> httpx.Response:
    """An answer; the body of an error is not read, since a registry sends less of it than it says."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    with httpx.stream(method, url, headers=sent) as answer:
        if answer.status_code not in {412, 416}:
            answer.read()
        return answer


@pytest.fixture(scope="module")
def blob(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Blob]:
    site = native.new(tmp_path_factory.mktemp("blobs"))
    with site.running():
        behaviour.cast(Hasty(site.home, site.port))
        image = images.make(tmp_path_factory.mktemp("image") / "image", layer_bytes=100_000)
        person("bob").copy(f"dir:{image}", f"docker://{site.host}/acme/blob:1")
        person("alice").copy(f"dir:{images.make(image.with_name('other'))}", f"docker://{site.host}/open/other:1")
        digest = json.loads((image / "manifest.json").read_text())["layers"][0]["digest"]
        content = (image / digest.removeprefix("sha256:")).read_bytes()
        port, config = free_port(), image.with_name("config.yml")
        config.write_text(registry_config(port, site.home / "registry"))
        with servers.registry(config, port):
            yield Blob(site, f"http://127.0.0.1:{port}", digest, content)


@pytest.fixture
def token(blob: Blob) -> str:
    return blob.token("bob")


def test_nginx_sends_it_and_the_registry_does_not(blob: Blob, token: str) -> None:
    registry = f"unix:{(blob.site.home / 'run').resolve() / 'registry.sock'}".removeprefix("unix:")
    transport = httpx.HTTPTransport(uds=registry)
    with httpx.Client(transport=transport, base_url="http://registry") as client:
        told = client.get(blob.path, headers={"Authorization": f"Bearer {token}"})
    assert (told.status_code, told.headers["location"]) == (307, f"http://blobs.invalid{blob.file}")
    assert blob.ours(token=token).content == blob.content


REQUESTS = {
    "whole": {},
    "beginning": {"Range": "bytes=0-99"},
    "middle": {"Range": "bytes=500-599"},
    "end": {"Range": "bytes=-100"},
    "from there on": {"Range": "bytes=99990-"},
    "beyond the end": {"Range": "bytes=99990-200000"},
    "after the end": {"Range": "bytes=200000-"},
    "known": {"If_None_Match": '"{digest}"'},
    "known weakly": {"If_None_Match": 'W/"{digest}"'},
    "one of several known": {"If_None_Match": '"x", "{digest}"'},
    "anything known": {"If_None_Match": "*"},
    "another one known": {"If_None_Match": '"sha256:0"'},
    "known without quotes": {"If_None_Match": "{digest}"},
    "known by date": {"If_Modified_Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
    "range if the same": {"Range": "bytes=0-9", "If_Range": '"{digest}"'},
    "range if another": {"Range": "bytes=0-9", "If_Range": '"x"'},
    "range if the date": {"Range": "bytes=0-9", "If_Range": "Fri, 01 Jan 2100 00:00:00 GMT"},
    "not if it matches another": {"If_Match": '"x"'},
    "compressed": {"Accept_Encoding": "gzip"},
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("headers", REQUESTS.values(), ids=REQUESTS)
def test_an_answer_is_the_registrys(blob: Blob, token: str, method: str, headers: dict[str, str]) -> None:
    asked = {name: value.format(digest=blob.digest) for name, value in headers.items()}
    ours, theirs = blob.ours(method, token=token, **asked), blob.theirs(method, **asked)
    compared = set(COMPARED) - set(OWN.get(theirs.status_code, ()))
    assert (ours.status_code, _some(ours, compared)) == (theirs.status_code, _some(theirs, compared))
    assert theirs.status_code >= 400 or ours.content == theirs.content


def _some(answer: httpx.Response, names: Collection[str]) -> dict[str, str | None]:
    return {name: answer.headers.get(name) for name in names}


@pytest.mark.parametrize("name", ["alice", "bob", "charlie"])
def test_whoever_may_pull_gets_it(blob: Blob, name: str) -> None:
    answer = blob.ours(token=blob.token(name))
    assert hashlib.sha256(answer.content).hexdigest() == blob.digest.removeprefix("sha256:")


def test_its_digest_may_be_escaped(blob: Blob, token: str) -> None:
    assert blob.ours(path=blob.path.replace(":", "%3A"), token=token).content == blob.content


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST", "PUT", "OPTIONS"])
@pytest.mark.parametrize("of", ["nobody", "stranger", "another repository", "forged"])
def test_nobody_else_gets_it(blob: Blob, method: str, of: str) -> None:
    tokens = {
        "nobody": "",
        "stranger": blob.token("stranger"),
        "another repository": blob.token("bob", "open/other"),
        "forged": blob.token("bob")[:-8] + "AAAAAAAA",
    }
    answer = blob.ours(method, token=tokens[of])
    assert answer.status_code in ({200, 401} if method == "OPTIONS" else {401, 405})
    assert blob.content[:100] not in answer.content


def test_a_repository_that_has_not_got_it_does_not_give_it(blob: Blob) -> None:
    answer = blob.ours(path=f"/v2/open/other/blobs/{blob.digest}", token=blob.token("bob", "open/other"))
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "BLOB_UNKNOWN")


WAYS = [
    "{file}",
    "/@blob",
    "/%40blob",
    "/@blob{file}",
    "//blobs.invalid{file}",
    "/v2{file}",
    "/v2/..{file}",
    "/v2/%2e%2e{file}",
    "/static/..{file}",
    "/static/%2e%2e{file}",
    "/-/envelope/..{file}",
    "/blobs{file}",
    "/registry{file}",
    "{blob}?token=x",
    "{blob}%00",
    "{blob}/",
    "{blob}/../{digest}",
    "//v2/acme/blob/blobs/{digest}",
    "/v2//acme/blob/blobs/{digest}",
    "/v2/acme/blob/./blobs/{digest}",
    "/v2/open/other/../../acme/blob/blobs/{digest}",
    "/v2/open/other/blobs/{digest}",
    "/v2/acme%2Fblob/blobs/{digest}",
    "/service/token{file}",
    "/api/{file}",
]
HEADERS: list[dict[str, str]] = [
    {},
    {"X_Accel_Redirect": "@blob"},
    {"Location": "http://blobs.invalid{file}"},
    {"X_Original_URI": "{file}"},
    {"X_Rewrite_URL": "{file}"},
    {"X_HTTP_Method_Override": "GET"},
    {"Referer": "http://blobs.invalid{file}"},
    {"Host": "blobs.invalid"},
    {"Authorization": ""},
    {"Authorization": "Bearer"},
    {"Connection": "Authorization"},
]


@pytest.mark.parametrize("headers", HEADERS, ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_no_path_leads_to_it_without_a_token(blob: Blob, way: str, headers: dict[str, str]) -> None:
    names = {"file": blob.file, "digest": blob.digest, "blob": blob.path}
    shown = {name: value.format(**names) for name, value in headers.items()}
    answer = blob.ours(path=way.format(**names), **shown)
    assert answer.status_code != 206
    assert blob.content[:100] not in answer.content


@pytest.mark.parametrize("folder", ["secrets", "ca", "authsvc.db", "rendered", "run"])
def test_nothing_else_of_the_data_directory_is_in_reach(blob: Blob, folder: str, token: str) -> None:
    for path in (f"/docker/registry/../../../{folder}", f"/{folder}", f"/v2/acme/blob/blobs/../../../../{folder}"):
        assert blob.ours(path=path, token=token).status_code >= 400


def test_a_blob_that_is_gone_is_said_in_the_envelope(blob: Blob, token: str, tmp_path: Path) -> None:
    stored = blob.site.home / "registry" / blob.file.lstrip("/")
    kept = stored.rename(tmp_path / "kept") if tmp_path.stat().st_dev == stored.stat().st_dev else stored
    answer = blob.ours(token=token)
    kept.rename(stored)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "BLOB_UNKNOWN")


def test_the_data_directory_is_closed_to_others(blob: Blob) -> None:
    assert stat.S_IMODE(blob.site.home.stat().st_mode) == 0o700


def test_it_can_be_turned_off(tmp_path: Path) -> None:
    site = native.new(tmp_path)
    with site.running(AUTHSVC_REGISTRY__SENDFILE="false"):
        assert "middleware" not in (site.home / "rendered" / "registry" / "config.yml").read_text()
        admin = ("admin", (site.home / "secrets" / "admin.password").read_text().strip())
        image = images.make(tmp_path / "image")
        skopeo = servers.run(
            "skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", "--dest-creds", ":".join(admin),
            f"dir:{image}", f"docker://{site.host}/library/off:1",
        )  # fmt: skip
        assert skopeo.returncode == 0
