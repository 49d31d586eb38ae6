"""The whole system on one machine, without Docker: `make run`."""

from deploy.local.runfile import Run, read_run
from deploy.local.services import SERVICES, Service
from deploy.local.supervisor import StartupFailed, System
from deploy.local.up import Owner, running, up


__all__ = [
    "SERVICES",
    "Owner",
    "Run",
    "Service",
    "StartupFailed",
    "System",
    "read_run",
    "running",
    "up",
]
