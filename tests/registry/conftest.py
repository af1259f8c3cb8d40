"""A real registry, Debian's."""

import socket as socket_module
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import free_port, program, wait_until


@pytest.fixture
def start_registry(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start a registry; keywords are sections of its configuration. Returns its address."""
    running = []

    def start(*, delete: bool = True, socket: Path | None = None, **sections: object) -> str:
        port = free_port()
        storage = {"filesystem": {"rootdirectory": str(tmp_path / "storage")}, "delete": {"enabled": delete}}
        config, log = tmp_path / f"{port}.yml", tmp_path / f"{port}.log"
        http = {"net": "unix", "addr": str(socket)} if socket else {"addr": f"127.0.0.1:{port}"}
        config.write_text(yaml.safe_dump({"version": "0.1", "storage": storage, "http": http} | sections))
        with log.open("w") as output:
            process = subprocess.Popen(
                [program("docker-registry"), "serve", str(config)], stdout=output, stderr=subprocess.STDOUT
            )
        running.append(process)
        wait_until(lambda: _listens(socket or ("127.0.0.1", port)), process, log)
        return f"unix:{socket}" if socket else f"http://127.0.0.1:{port}"

    yield start
    for process in running:
        process.terminate()
        process.wait()


def _listens(address: Path | tuple[str, int]) -> bool:
    family = socket_module.AF_UNIX if isinstance(address, Path) else socket_module.AF_INET
    with socket_module.socket(family) as probe:
        return probe.connect_ex(str(address) if isinstance(address, Path) else address) == 0
