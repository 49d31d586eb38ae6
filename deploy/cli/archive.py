"""`opensync backup` and `opensync restore`: the log as files, and back."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.output import AsJson, as_json, line
from deploy.cli.running import Running, fail, nats_url_given, perform, quiet, settings
from deploy.cli.verify import progress
from deploy.local import read_run
from deploy.local.lock import AlreadyRunning, locked
from deploy.local.nats import EmbeddedNats
from deploy.local.process import Process
from deploy.nats.stream import ForeignStream, ensure_stream
from shared.backup import load, read_manifest, save
from shared.connection import connect_nats, drain
from shared.errors import Conflict, ServiceError
from shared.settings import Settings


GAPS = 1
BAD_OPERATION = 2
START_WITHIN_S = 30.0
LOOK_EVERY_S = 0.05

Folder = Annotated[Path, typer.Argument(help="A folder of its own.")]


def backup(path: Folder, *, json: AsJson = False) -> None:
    """Save the log while the system runs; a second run adds what is new."""

    async def work(system: Running) -> None:
        client = await connect_nats(system.nats_url, name="opensync-backup")
        try:
            with progress(hidden=json) as watch:
                watch.name("backup")
                saved = await save(client, path, watch=watch)
        finally:
            await drain(client)
        if json:
            as_json(saved)
        else:
            line(
                f"{path}: {saved.events:,} events up to {saved.last:,};"
                f" {saved.segments_written} segments written,"
                f" {saved.segments_kept} kept"
            )
        if saved.missing:
            fail(
                f"{saved.missing:,} events could not be read: run `opensync verify`.",
                GAPS,
            )

    perform(work, refusal=BAD_OPERATION)


def restore(path: Folder, *, json: AsJson = False) -> None:
    """Build the log again from a backup, into an empty one.

    Without OPENSYNC_NATS_URL this is the log of the data folder, and the system must
    not run; `opensync up` then builds everything else from it.
    """
    given = settings()
    try:
        quiet()
        read_manifest(path)
        last = asyncio.run(_restored(given, path, json=json))
    except (ServiceError, AlreadyRunning, ForeignStream) as error:
        fail(str(error), BAD_OPERATION)
    if json:
        as_json({"last": last})
    else:
        line(f"the log is restored up to {last:,}; everything else follows from it")


async def _restored(given: Settings, path: Path, *, json: bool) -> int:
    async with _log_of(given) as url:
        await ensure_stream(url)
        client = await connect_nats(url, name="opensync-restore")
        try:
            with progress(hidden=json) as watch:
                watch.name("restore")
                return await load(client, path, watch=watch)
        finally:
            await drain(client)


@asynccontextmanager
async def _log_of(given: Settings) -> AsyncIterator[str]:
    """Reach the log that was named, or run the data folder's own until we are done."""
    if nats_url_given():
        yield given.nats_url
        return
    folder = given.data_dir.resolve()
    if (folder / "nats").exists() or (folder / "postgres").exists():
        raise Conflict(_not_empty(folder))
    with locked(folder):
        server = EmbeddedNats(folder)
        server.prepare()
        process = Process(
            server.program(),
            log_file=server.folder / "restore.log",
            on_start=lambda: None,
        )
        process.start()
        try:
            async with asyncio.timeout(START_WITHIN_S):
                while not await server.is_ready():
                    await asyncio.sleep(LOOK_EVERY_S)
            yield server.url
        except BaseException:
            await process.stop()
            shutil.rmtree(server.folder)  # it was not there before
            raise
        finally:
            await process.stop()


def _not_empty(folder: Path) -> str:
    running = "a running system" if read_run(folder) else "a system"
    return (
        f"{folder} holds {running} already: restore into an empty folder,"
        " named by OPENSYNC_DATA_DIR."
    )
