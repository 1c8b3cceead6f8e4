"""What all parts of the failover drills need."""

import os
import pathlib
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
LOGS = TARGET / "failover"


def say(text):
    print(text, flush=True)


class Broken(Exception):
    """The drill cannot go on; the text says why."""


def within(seconds, what, condition, pause=0.25):
    """Waits until the condition holds and returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Broken(f"{what}: not within {seconds} s")
        time.sleep(pause)


def with_parent(*command):
    """The process is killed when this one dies, however that happens."""
    return ["setpriv", "--pdeathsig", "KILL", *map(str, command)]
