"""Runs ingest as a process of its own: `python -m services.ingest`."""

from services.ingest.app import main
from shared.process import run


if __name__ == "__main__":
    run(main, service="ingest")
