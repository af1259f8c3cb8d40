"""A gigabyte through nginx, and through a second nginx that ends TLS, in flat memory."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e import images, native
from tests.e2e.clients import Skopeo
from tests.e2e.native import Native
from tests.e2e.servers import free_port, need, process, run, until

LAYERS, LAYER_BYTES = 4, 256 * 1024**2
FLAT = 64 * 1024
"""KiB by which a part may grow while sixteen times as much passes through it."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Native]:
    site = native.new(tmp_path_factory.mktemp("large"))
    with site.running():
        yield site


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return images.make(tmp_path_factory.mktemp("gigabyte") / "image", layers=LAYERS, layer_bytes=LAYER_BYTES)


@pytest.fixture(scope="module")
def outer(installed: Native, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A second nginx that ends TLS, set up as its manual says and no further."""
    with _tls_proxy(installed, tmp_path_factory.mktemp("outer")) as host:
        yield host


@pytest.mark.parametrize("way", ["direct", "behind TLS"])
def test_a_gigabyte_goes_there_and_back_in_flat_memory(
    installed: Native, image: Path, outer: str, tmp_path: Path, way: str
) -> None:
    host = installed.host if way == "direct" else outer
    reference = f"docker://{host}/library/large:{way.replace(' ', '-')}"
    admin = Skopeo(f"admin:{(installed.home / 'secrets' / 'admin.password').read_text().strip()}")
    before = _resident(installed)
    admin.copy(f"dir:{image}", reference)
    admin.copy(reference, f"dir:{tmp_path / 'back'}")
    grown = {part: peak - before[part] for part, peak in _resident(installed).items() if part in before}
    back = {path.name for path in (tmp_path / "back").iterdir()}
    shutil.rmtree(tmp_path / "back")
    assert {path.name for path in image.iterdir()} <= back
    assert max(grown.values()) < FLAT, grown


def _resident(installed: Native) -> dict[str, int]:
    """The most memory that each process of nginx and web ever had, in KiB."""
    supervisor = run("pgrep", "-f", f"supervisord.*{installed.home}").stdout.split()[-1]
    found: dict[str, int] = {}
    for pid in _descendants(supervisor):
        status = Path(f"/proc/{pid}/status").read_text()
        name = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        peak = re.search(r"VmHWM:\s+(\d+)", status)
        if peak and "registry" not in name:
            found[f"{pid} {name[:40]}"] = int(peak.group(1))
    return found


def _descendants(pid: str) -> Iterator[str]:
    for child in run("pgrep", "-P", pid, check=False).stdout.split():
        yield child
        yield from _descendants(child)


@contextmanager
def _tls_proxy(installed: Native, directory: Path) -> Iterator[str]:
    port = free_port()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    config = directory / "nginx.conf"
    config.write_text(f"""
daemon off; pid {directory}/pid; error_log {directory}/error.log; worker_processes 1; events {{ }}
http {{
  access_log off; client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {directory}/cert.pem; ssl_certificate_key {directory}/key.pem;
    client_max_body_size 0; proxy_request_buffering off; proxy_buffering off; proxy_http_version 1.1;
    proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto https;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    location / {{ proxy_pass http://{installed.host}; }}
  }}
}}
""")
    with process(
        need("nginx"), "-c", str(config), "-e", str(directory / "error.log"), log=directory / "log"
    ) as started:
        until(lambda: started.poll() is not None or _accepts(port), "the outer nginx's first answer")
        assert started.poll() is None, (directory / "log").read_text()
        yield f"127.0.0.1:{port}"


def _accepts(port: int) -> bool:
    return run("curl", "-sk", "-o", "/dev/null", f"https://127.0.0.1:{port}/healthz", check=False).returncode == 0
