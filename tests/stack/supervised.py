"""`authsvc up` with parts of a test's own: `python -m tests.stack.supervised HOME PORT NAME=COMMAND …`."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from authsvc import settings as settings_module
from authsvc.stack import home, supervise
from authsvc.stack.parts import Part


def say(text: str) -> None:
    print(text, flush=True)


def renew(directory: Path, parts: Sequence[Part]) -> Sequence[Part]:
    if (directory / "mistake").exists():
        raise supervise.Misconfigured("a mistake")
    return parts


def main(directory: str, port: str, *named: str) -> int:
    settings = settings_module.load({"AUTHSVC_HOME": directory, "AUTHSVC_PORT": port})
    home.make(settings, int(time.time()))
    (settings.paths.rendered / "supervisord.conf").unlink(missing_ok=True)
    parts = [
        Part(
            name, ("sh", "-c", command), reload_signal="HUP" if name == "gentle" else "", keeps_settings=name == "calm"
        )
        for name, command in (text.split("=", 1) for text in named)
    ]
    return supervise.run(
        settings,
        announce=lambda: say("everything answers"),
        say=say,
        renew=lambda: renew(settings.home, parts),
        parts=parts,
        is_ready=lambda: True,
    )


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except supervise.Misconfigured as exc:
        sys.exit(str(exc))
