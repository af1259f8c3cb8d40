"""Starting, stopping and starting again."""

import os
import signal
import stat
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.e2e import images, native
from tests.e2e.clients import Skopeo
from tests.e2e.native import Native
from tests.e2e.servers import answers, free_port, run, stop, until


@pytest.fixture
def installed(tmp_path: Path) -> Native:
    return native.new(tmp_path)


def _admin(installed: Native) -> Skopeo:
    return Skopeo(f"admin:{(installed.home / 'secrets' / 'admin.password').read_text().strip()}")


def _uploads(installed: Native) -> list[Path]:
    return list((installed.home / "registry").glob("**/_uploads/*/data"))


def test_the_first_start_prints_a_random_password_and_the_second_does_not(installed: Native) -> None:
    with installed.running():
        password = (installed.home / "secrets" / "admin.password").read_text().strip()
    first = installed.output.read_text()
    installed.output.unlink()
    with installed.running():
        pass
    assert len(password) >= 16
    assert password in first
    assert password not in installed.output.read_text()


def test_a_second_start_changes_no_secret(installed: Native) -> None:
    with installed.running():
        before = installed.secrets()
    with installed.running():
        assert installed.secrets() == before


def test_secrets_are_readable_by_their_owner_only(installed: Native) -> None:
    with installed.running():
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (installed.home / "secrets").iterdir()}
    assert set(modes.values()) == {0o400}


def test_a_given_administrators_password_is_honoured(installed: Native) -> None:
    with installed.running(AUTHSVC_ADMIN_PASSWORD="a-chosen-secret-9"):
        answer = httpx.get(f"http://{installed.host}/service/token", auth=("admin", "a-chosen-secret-9"))
    assert answer.status_code == 200


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_every_part(installed: Native, how: signal.Signals) -> None:
    with installed.running() as started:
        # To the whole group, as a terminal does on Ctrl-C.
        os.killpg(started.pid, how)
        started.wait(60)
    assert run("pgrep", "-f", str(installed.home), check=False).stdout == ""


@pytest.mark.parametrize("part", ["web", "worker", "docker-registry", "nginx: master"])
def test_a_part_that_dies_is_started_again(installed: Native, part: str) -> None:
    with installed.running():
        died = _pid(installed, part)
        os.kill(died, signal.SIGKILL)
        until(lambda: _pid(installed, part) not in (None, died), f"another {part}")
        until(lambda: answers(f"http://{installed.host}/readyz"), "an answer")


def _pid(installed: Native, part: str) -> int | None:
    supervisor = run("pgrep", "-f", f"supervisord.*{installed.home}", check=False).stdout.split()
    if not supervisor:
        return None
    children = run("pgrep", "-P", supervisor[-1], "-f", part, check=False).stdout.split()
    return int(children[0]) if children else None


def test_a_killed_supervisor_leaves_nothing_running(installed: Native) -> None:
    with installed.running() as started:
        for pid in run("pgrep", "-f", f"supervisord.*{installed.home}").stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        started.wait(60)
        until(lambda: run("pgrep", "-f", str(installed.home), check=False).stdout == "", "the end of every part")


def test_a_port_in_use_is_named(installed: Native) -> None:
    with installed.running():
        other = Native(installed.home.with_name("other"), installed.port)
        refused = run("make", "run", env=other.environment, check=False)
    assert refused.returncode != 0
    assert str(installed.port) in refused.stderr + refused.stdout
    assert "Traceback" not in refused.stderr + refused.stdout


def test_ctrl_c_in_mid_push_leaves_a_store_that_serves_every_complete_image(installed: Native, tmp_path: Path) -> None:
    complete, large = images.make(tmp_path / "complete"), images.make(tmp_path / "large", layer_bytes=256 * 1024**2)
    with installed.running() as started:
        _admin(installed).copy(f"dir:{complete}", f"docker://{installed.host}/library/complete:1")
        push = _push_slowly(installed, large)
        until(lambda: any(upload.stat().st_size > 0 for upload in _uploads(installed)), "an upload in progress")
        os.killpg(started.pid, signal.SIGINT)
        started.wait(60)
        stop(push)
    with installed.running():
        _admin(installed).copy(f"docker://{installed.host}/library/complete:1", f"dir:{tmp_path / 'back'}")
        _admin(installed).copy(f"dir:{large}", f"docker://{installed.host}/library/large:1")


def _push_slowly(installed: Native, image: Path) -> subprocess.Popen[bytes]:
    """A push of a layer through curl's rate limit, so that it is surely not done when the signal comes."""
    layer = max(image.iterdir(), key=lambda path: path.stat().st_size)
    password = (installed.home / "secrets" / "admin.password").read_text().strip()
    scope = {"service": "authsvc", "scope": "repository:library/large:pull,push"}
    token = httpx.get(f"http://{installed.host}/service/token", params=scope, auth=("admin", password)).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    begun = httpx.post(f"http://{installed.host}/v2/library/large/blobs/uploads/", headers=headers)
    where = httpx.URL(f"http://{installed.host}").join(begun.headers["location"])
    return subprocess.Popen(
        ["curl", "-sS", "--limit-rate", "8M", "-T", str(layer), "-X", "PATCH", "-H", f"Authorization: Bearer {token}",
         "-H", "Content-Type: application/octet-stream", str(where)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def test_the_port_and_the_data_directory_are_honoured(tmp_path: Path) -> None:
    elsewhere = Native(tmp_path / "elsewhere", free_port())
    with elsewhere.running():
        assert answers(f"http://127.0.0.1:{elsewhere.port}/healthz")
        assert (elsewhere.home / "authsvc.db").exists()
