"""Keys rotate under load, and no client notices."""

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import jwt
import pytest

from authsvc.domain.permissions import Role
from tests import behaviour
from tests.behaviour import checked
from tests.e2e import native, walk
from tests.e2e.native import Hasty, Native
from tests.e2e.protocol import ask, by_table, client, granted, password, pull
from tests.e2e.servers import until

CLIENTS = 50
OCI = "application/vnd.oci.image"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Native]:
    installed = native.new(tmp_path_factory.mktemp("rotation"))
    with installed.running():
        behaviour.cast(Hasty(installed.home, installed.port))
        yield installed


class Busy:
    """One client that pushes and pulls until it is told to stop, with a token of its own for each round."""

    def __init__(self, site: Native, number: int, stop: threading.Event) -> None:
        self.repository = f"acme/client-{number}"
        self.kids: list[str] = []
        self._site = site
        self._stop = stop

    def work(self) -> None:
        while not self._stop.is_set():
            with client(self._site) as http:
                http.headers["Authorization"] = f"Bearer {self._token()}"
                self._push_and_pull(http)

    def _token(self) -> str:
        answer = ask(self._site, f"repository:{self.repository}:pull,push", password("bob"))
        allowed = granted(self._site, answer, to="bob")
        assert allowed == by_table(self.repository, "pull,push", Role.DEVELOPER)
        token = str(answer.json()["token"])
        self.kids.append(jwt.get_unverified_header(token)["kid"])
        return token

    def _push_and_pull(self, http: httpx.Client) -> None:
        layer = os.urandom(1024)
        config = self._push_blob(http, b'{"architecture":"amd64","os":"linux"}', "config.v1+json")
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": config,
            "layers": [self._push_blob(http, layer, "layer.v1.tar")],
        }
        where, kind = f"/v2/{self.repository}/manifests/1", {"Content-Type": f"{OCI}.manifest.v1+json"}
        pushed = http.put(where, content=json.dumps(manifest), headers=kind)
        assert pushed.status_code == 201, pushed.text
        pulled = http.get(where, headers={"Accept": f"{OCI}.manifest.v1+json"}).raise_for_status().json()
        blob = http.get(f"/v2/{self.repository}/blobs/{pulled['layers'][0]['digest']}").raise_for_status()
        assert blob.content == layer

    def _push_blob(self, http: httpx.Client, content: bytes, kind: str) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        begun = http.post(f"/v2/{self.repository}/blobs/uploads/")
        assert begun.status_code == 202, begun.text
        target = httpx.URL(begun.headers["location"]).copy_merge_params({"digest": digest})
        done = http.put(target, content=content)
        assert done.status_code == 201, done.text
        return {"mediaType": f"{OCI}.{kind}", "digest": digest, "size": len(content)}


def _another_round(clients: list[Busy], working: list[Future[None]], kid: str) -> None:
    """Until each client has begun and ended a round with this key from now on, or one of them has failed."""
    before = [len(busy.kids) for busy in clients]

    def is_done() -> bool:
        rounds = zip(clients, before, strict=True)
        return any(one.done() for one in working) or all(
            len(busy.kids) >= seen + 2 and busy.kids[-1] == kid for busy, seen in rounds
        )

    until(is_done, "a round of every client", seconds=300)


def _rotate(site: Native) -> str:
    return str(json.loads(site.authsvc("key", "rotate", "--json").stdout)["key_id"])


def _kid(answer: httpx.Response) -> str:
    token = answer.json()["token"]
    checked(token)
    return str(jwt.get_unverified_header(token)["kid"])


def test_fifty_clients_push_and_pull_without_one_failure_while_keys_rotate_twice(site: Native) -> None:
    kids, stop = [_rotate(site)], threading.Event()
    _signs_everywhere(site, kids[0])
    clients = [Busy(site, number, stop) for number in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        working = [pool.submit(busy.work) for busy in clients]
        try:
            _another_round(clients, working, kids[-1])
            for _ in range(2):
                kids.append(_rotate(site))
                _another_round(clients, working, kids[-1])
        finally:
            stop.set()
    assert [failure for one in working if (failure := one.exception())] == []
    assert {kid for busy in clients for kid in busy.kids} == set(kids)


def test_a_token_signed_before_a_rotation_is_good_until_it_ends(site: Native) -> None:
    scope = "repository:acme/none:pull"
    before = ask(site, scope, password("bob"))
    assert granted(site, before, to="bob") == by_table("acme/none", "pull", Role.DEVELOPER)
    assert _rotate(site) != _kid(before)
    assert pull(site, before.json()["token"], "acme/none") == 404
    assert pull(site, "forged", "acme/none") == 401


def test_every_process_signs_with_the_new_key_and_none_goes_back(site: Native) -> None:
    processes = site.web_processes()
    old = {_kid(answer) for answer in _asked_of(site, processes)}
    new = _rotate(site)
    assert len(processes) == 2
    assert old != {new}
    _signs_everywhere(site, new)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, [site] * 200))
    assert {_kid(answer) for answer in answers} == {new}


def test_the_list_shows_each_key_and_which_one_signs(site: Native) -> None:
    new = _rotate(site)
    rows = json.loads(site.authsvc("key", "list", "--json").stdout)
    assert [row["key_id"] for row in rows if row["signs"]] == [new]
    assert rows[0]["key_id"] == new
    assert len(rows) >= 2


def test_a_key_that_an_administrator_asks_for_on_the_site_signs_and_the_registry_takes_it(site: Native) -> None:
    name, secret = walk.ADMINISTRATOR, walk.PASSWORD
    site.authsvc("user", "add", name, "--admin", "--password-stdin", stdin=secret)
    with client(site) as browser:
        _send(browser, "/login", "/login", name=name, password=secret)
        asked = _send(browser, "/admin/keys", "/admin/keys/rotate")
        assert asked.status_code == 303, asked.text
        until(lambda: "Done at" in browser.get("/admin/keys").text, "the worker's key")
        page = browser.get("/admin/keys").text
    (new,) = re.findall(r"Done at[^<]*<code>([^<]+)</code>", page)
    assert _first_key(site) == new
    _signs_everywhere(site, new)
    answer = ask(site, "repository:acme/none:pull", password("bob"))
    assert _kid(answer) == new
    assert pull(site, answer.json()["token"], "acme/none") == 404


def _send(browser: httpx.Client, page: str, target: str, **form: str) -> httpx.Response:
    """Fill in a form of a page."""
    (token, *_) = re.findall(r'name="csrf_token" value="([^"]+)"', browser.get(page).text)
    return browser.post(target, data={"csrf_token": token} | form)


def _first_key(site: Native) -> str:
    return str(json.loads(site.authsvc("key", "list", "--json").stdout)[0]["key_id"])


def _signs_everywhere(site: Native, kid: str) -> None:
    processes = site.web_processes()
    until(lambda: {_kid(answer) for answer in _asked_of(site, processes)} == {kid}, "the new key in every process")


def _asked_of(site: Native, processes: list[int]) -> list[httpx.Response]:
    answers = []
    for process in processes:
        with site.only(process) as web:
            answers += [ask(web) for _ in range(5)]
    return answers
