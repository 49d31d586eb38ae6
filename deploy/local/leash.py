"""The leash: what ends a child when its supervisor is killed and cannot say so.

Linux sends the signal when the *thread* that started the child ends, so children are
started from the event loop's own thread. `setpriv` sets it after any change of user
and then becomes the child, so it costs no process. Where it is missing, the next
start ends what is left (see `leftovers.py`).
"""

import functools
import shutil
import signal
import subprocess


def leash(death: signal.Signals) -> list[str]:
    """Prefix a command so that it gets this signal when we are gone."""
    return ["setpriv", "--pdeathsig", _name(death)] if _is_available() else []


def _name(number: signal.Signals) -> str:
    return number.name.removeprefix("SIG")


@functools.cache
def _is_available() -> bool:
    """Tell whether this is the setpriv that knows the option; BusyBox has another."""
    setpriv = shutil.which("setpriv")
    if not setpriv:
        return False
    probe = [setpriv, "--pdeathsig", "TERM", "true"]
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0  # noqa: S603 - our own words
