"""`authsvc up` with parts of a test's own: `python -m tests.stack.supervised HOME PORT NAME=COMMAND …`."""

import sys
import time

from authsvc import settings as settings_module
from authsvc.stack import home, supervise
from authsvc.stack.parts import Part


def say(text: str) -> None:
    print(text, flush=True)


def main(directory: str, port: str, *named: str) -> int:
    settings = settings_module.load({"AUTHSVC_HOME": directory, "AUTHSVC_PORT": port})
    home.make(settings, int(time.time()))
    (settings.paths.rendered / "supervisord.conf").unlink(missing_ok=True)
    parts = [Part(name, ("sh", "-c", command)) for name, command in (text.split("=", 1) for text in named)]
    return supervise.run(
        settings, announce=lambda: say("everything answers"), say=say, parts=parts, is_ready=lambda: True
    )


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except supervise.Misconfigured as exc:
        sys.exit(str(exc))
