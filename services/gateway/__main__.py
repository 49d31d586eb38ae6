"""Runs a gateway as a process of its own: `python -m services.gateway`."""

from services.gateway.app import main
from shared.process import run


if __name__ == "__main__":
    run(main, service="gateway")
