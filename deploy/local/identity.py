"""Whom Postgres runs as: it refuses to be root."""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from deploy.local.leash import leash


USER = "pgserver"
POWERS: tuple[tuple[str, ...], ...] = (
    (),
    ("dac_read_search",),
    ("dac_override",),
)
"""What the user may need to pass through closed parent folders such as /root, least
first. The folders themselves are left as they are."""


class NoIdentity(RuntimeError):
    """We are root, and there is nobody else Postgres could be."""


def own(folder: Path) -> None:
    """Give a folder to the user Postgres runs as."""
    if os.geteuid() == 0:
        user = _system_user()
        os.chown(folder, user.pw_uid, user.pw_gid)


def run_as(death: signal.Signals, *, program: Path, folder: Path) -> list[str]:
    """Prefix a command so that it runs leashed, and not as root."""
    if os.geteuid() != 0:
        return leash(death)
    if not leash(death):
        raise NoIdentity(
            "Postgres refuses to run as root and setpriv (util-linux 2.33 or later)"
            " is missing: start OpenSync as an ordinary user"
        )
    for powers in POWERS:
        prefix = [*leash(death), *_become(_system_user(), powers)]
        if _reaches(prefix, program, folder):
            return prefix
    raise NoIdentity(
        f"the user {USER!r}, who runs Postgres for root, cannot reach {folder}:"
        " start OpenSync as an ordinary user"
    )


def _become(user: pwd.struct_passwd, powers: tuple[str, ...]) -> list[str]:
    change = [
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
    ]
    if powers:
        added = ",".join(f"+{power}" for power in powers)
        # without the securebit, access(2) ignores the capabilities, and Postgres
        # asks access(2) whether its own binary is there
        change += ["--securebits=+no_setuid_fixup"]
        change += [f"--inh-caps={added}", f"--ambient-caps={added}"]
    return change


def _reaches(prefix: list[str], program: Path, folder: Path) -> bool:
    script = 'cd "$1" && test -x "$0" && exec "$0" --version'
    probe = [*prefix, "sh", "-c", script, str(program), str(folder)]
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0  # noqa: S603 - our own words


def _system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        _add_user()
        return pwd.getpwnam(USER)


def _add_user() -> None:
    useradd = shutil.which("useradd")
    if not useradd:
        raise NoIdentity(
            "Postgres refuses to run as root and there is no useradd to make the"
            f" user {USER!r}: start OpenSync as an ordinary user"
        )
    options = ["--system", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    subprocess.run([useradd, *options, USER], check=True, capture_output=True)  # noqa: S603 - our own words
