"""A real supervisord with small parts, and the signals that a person or the kernel sends."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from authsvc.errors import Misconfigured
from authsvc.stack import supervise, supervisord
from authsvc.stack.parts import Part

from .conftest import MakeSettings, free_port, wait_until

LASTS = "echo $$ > {pids}/{name}; exec sleep infinity"
STUBBORN = "trap '' TERM; echo $$ > {pids}/{name}; while :; do sleep 1; done"
FAILS = "echo this is why; exit 3"
DIES_ONCE = "echo $$ > {pids}/{name}; test -e {pids}/once && exec sleep infinity; touch {pids}/once; sleep 3"


@dataclass
class Up:
    """A running `up`."""

    process: subprocess.Popen[str]
    output: Path
    pids: Path
    home: Path

    def says(self, text: str) -> bool:
        return text in self.output.read_text()

    def wait_for(self, text: str) -> None:
        wait_until(lambda: self.says(text) or self.process.poll() is not None)
        assert self.says(text), self.output.read_text()

    def pid(self, name: str) -> int:
        wait_until(lambda: (self.pids / name).exists() and (self.pids / name).read_text().strip())
        return int((self.pids / name).read_text())

    def supervisor(self) -> int:
        return int((self.home / "run" / "supervisord.pid").read_text())


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def start_up(make_settings: MakeSettings, tmp_path: Path) -> Iterator[Callable[..., Up]]:
    running: list[Up] = []

    def start(port: int | None = None, **parts: str) -> Up:
        home = make_settings().home
        pids = tmp_path / "pids"
        pids.mkdir(exist_ok=True)
        output = tmp_path / f"output{len(running)}"
        commands = [f"{name}={command.format(pids=pids, name=name)}" for name, command in parts.items()]
        argv = [sys.executable, "-m", "tests.stack.supervised", str(home), str(port or free_port()), *commands]
        with output.open("w") as file:
            process = subprocess.Popen(
                argv,
                stdout=file,
                stderr=file,
                text=True,
                cwd=Path(__file__).parents[2],
                # Under nohup a hang-up is ignored, by `up` too.
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509
            )
        running.append(Up(process, output, pids, home))
        return running[-1]

    yield start
    for up in running:
        up.process.terminate()
        up.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_every_part(start_up: Callable[..., Up], number: signal.Signals):
    up = start_up(first=LASTS, second=LASTS)
    up.wait_for("everything answers")
    up.process.send_signal(number)
    assert (up.process.wait(), lives(up.pid("first")), lives(up.pid("second"))) == (0, False, False)


def test_a_part_that_does_not_start_takes_the_rest_down(start_up: Callable[..., Up]):
    up = start_up(good=LASTS, bad=FAILS)
    assert (up.process.wait(), lives(up.pid("good"))) == (1, False)


def test_a_part_that_does_not_start_is_named_with_its_log(start_up: Callable[..., Up]):
    up = start_up(bad=FAILS)
    up.process.wait()
    assert "bad does not stay up" in up.output.read_text()
    assert "  this is why\n" in up.output.read_text()


def test_a_part_that_does_not_start_is_never_announced(start_up: Callable[..., Up]):
    up = start_up(good=LASTS, bad=FAILS)
    up.process.wait()
    assert not up.says("everything answers")


def test_a_part_that_ends_is_started_again_with_one_line(start_up: Callable[..., Up]):
    up = start_up(part=DIES_ONCE)
    up.wait_for("part ended and was started again")
    up.process.terminate()
    up.process.wait()
    assert up.output.read_text().count("part ended") == 1


def test_a_supervisor_that_is_killed_leaves_nothing(start_up: Callable[..., Up]):
    up = start_up(first=LASTS, second=LASTS)
    up.wait_for("everything answers")
    os.kill(up.supervisor(), signal.SIGKILL)
    assert (up.process.wait(), lives(up.pid("first")), lives(up.pid("second"))) == (1, False, False)


def test_a_stubborn_part_does_not_outlive_a_supervisor_that_is_killed(start_up: Callable[..., Up]):
    up = start_up(part=STUBBORN)
    up.wait_for("everything answers")
    os.kill(up.supervisor(), signal.SIGKILL)
    up.process.wait()
    wait_until(lambda: not lives(up.pid("part")))


def test_an_up_that_is_killed_leaves_nothing(start_up: Callable[..., Up]):
    up = start_up(part=LASTS)
    up.wait_for("everything answers")
    supervisor = up.supervisor()
    up.process.kill()
    up.process.wait()
    wait_until(lambda: not lives(supervisor) and not lives(up.pid("part")))


def test_a_second_interrupt_does_not_wait_for_a_stubborn_part(start_up: Callable[..., Up]):
    up = start_up(part=STUBBORN)
    up.wait_for("everything answers")
    up.process.send_signal(signal.SIGINT)
    up.wait_for("stopping")
    up.process.send_signal(signal.SIGINT)
    assert (up.process.wait(), lives(up.pid("part"))) == (0, False)


def test_a_port_in_use_is_told_before_anything_starts(start_up: Callable[..., Up]):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        up = start_up(port=port, part=LASTS)
        up.process.wait()
    assert up.output.read_text().startswith(f"port {port} is in use by another program")


def test_a_second_up_on_the_same_home_is_refused(start_up: Callable[..., Up]):
    start_up(part=LASTS).wait_for("everything answers")
    second = start_up(part=LASTS)
    assert (second.process.wait(), second.says("another `authsvc up` already runs")) == (1, True)


def test_no_part_is_given_the_password_of_the_administrator(
    start_up: Callable[..., Up], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AUTHSVC_ADMIN_PASSWORD", "correct horse battery")
    up = start_up(part="env > {pids}/environment; " + LASTS)
    up.wait_for("everything answers")
    assert "correct horse" not in (up.pids / "environment").read_text()


def test_parts_start_in_order(make_settings: MakeSettings):
    text = supervisord.configuration(make_settings(), [Part("first", ("true",)), Part("second", ("true",))])
    assert text.index("priority = 1") < text.index("[program:second]") < text.index("priority = 2")


def test_a_percent_sign_is_no_variable_of_supervisord(make_settings: MakeSettings):
    text = supervisord.configuration(make_settings(), [Part("part", ("echo", "100%"))])
    assert "echo 100%%" in text


@pytest.mark.parametrize("name", ["a ;b", "a #b", "a\nb"])
def test_a_data_directory_that_reads_as_a_comment_is_refused(make_settings: MakeSettings, tmp_path: Path, name: str):
    with pytest.raises(supervisord.Misconfigured, match="choose another AUTHSVC_HOME"):
        supervisord.configuration(make_settings(HOME=str(tmp_path / name)), [])


REMEMBERS = "trap 'echo > {pids}/told' HUP; echo $$ > {pids}/{name}; while :; do sleep 1 & wait; done"


def test_a_reload_tells_some_parts_and_starts_others_anew(start_up: Callable[..., Up]):
    up = start_up(gentle=REMEMBERS, other=LASTS, calm=LASTS)
    up.wait_for("everything answers")
    before = [up.pid(name) for name in ("gentle", "other", "calm")]
    up.process.send_signal(signal.SIGUSR1)
    up.wait_for("reloaded")
    wait_until(lambda: (up.pids / "told").exists() and up.pid("other") != before[1])
    assert (up.pid("gentle"), up.pid("calm")) == (before[0], before[2])
    assert not up.says("ended and was started again")


def test_a_reload_with_a_mistake_changes_nothing(start_up: Callable[..., Up]):
    up = start_up(other=LASTS)
    up.wait_for("everything answers")
    before = up.pid("other")
    (up.home / "mistake").touch()
    up.process.send_signal(signal.SIGUSR1)
    up.wait_for("not reloaded: a mistake")
    assert (up.pid("other"), lives(before)) == (before, True)


def test_a_reload_is_asked_of_whoever_runs(start_up: Callable[..., Up], make_settings: MakeSettings):
    up = start_up(other=LASTS)
    up.wait_for("everything answers")
    supervise.ask_to_reload(make_settings())
    up.wait_for("reloaded")


def test_where_nothing_runs_nothing_is_reloaded(make_home: MakeSettings):
    with pytest.raises(Misconfigured, match="nothing runs on"):
        supervise.ask_to_reload(make_home())
