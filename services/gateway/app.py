"""The gateway's composition root: everything is built here, once per process."""

from asyncio import TaskGroup
from importlib.metadata import version
from time import monotonic

from faststream.nats import NatsBroker
from nats.aio.client import Client

from services.gateway.erasure import Eraser
from services.gateway.gateway import Gateway
from services.gateway.handlers import Accounts
from services.gateway.keyring import Keyring
from services.gateway.live import Hub
from services.gateway.projection import KEYS
from services.gateway.queries import Directory
from services.gateway.ratelimit import RateLimit
from services.gateway.recent import Recent
from services.gateway.server import serve
from services.gateway.tickets import Tickets
from services.gateway.usage import Usage
from shared.broker import Answerer, Bus, service_broker
from shared.connection import connect_nats, drain
from shared.log import Log
from shared.operations import Operations
from shared.postgres import Pool, open_pool
from shared.requests import (
    EraseUser,
    GetUser,
    IssueApiKey,
    ListKeys,
    ListUsers,
    RegisterUser,
    RevokeApiKey,
)
from shared.settings import Settings
from shared.worker import Worker


POOL = 3


def build_gateway(settings: Settings, *, client: Client, pool: Pool) -> Gateway:
    log, bus, keyring = Log(client), Bus(client), Keyring()
    return Gateway(
        log=log,
        bus=bus,
        keyring=keyring,
        accounts=Accounts(log=log, keyring=keyring),
        eraser=Eraser(log=log, bus=bus, keyring=keyring),
        directory=Directory(pool=pool),
        limit=RateLimit(settings.rate_limit, clock=monotonic),
        recent=Recent(clock=monotonic),
        usage=Usage(log),
        live=Hub(),
        tickets=Tickets(clock=monotonic),
        version=version("opensync"),
    )


def create_broker(url: str, gateway: Gateway) -> NatsBroker:
    """Answer what the command line and other services ask."""
    accounts, directory = gateway.accounts, gateway.directory
    return service_broker(
        url,
        service="gateway",
        answerers=[
            Answerer(RegisterUser, accounts.register_user),
            Answerer(IssueApiKey, accounts.issue_key),
            Answerer(RevokeApiKey, accounts.revoke_key),
            Answerer(EraseUser, gateway.eraser.erase_user),
            Answerer(ListKeys, directory.list_keys),
            Answerer(ListUsers, directory.list_users),
            Answerer(GetUser, directory.get_user),
            *Operations(
                KEYS, service="gateway", pool=directory.pool, log=gateway.log
            ).answerers(),
        ],
    )


async def main(settings: Settings) -> None:
    """Serve until cancelled, then stop in order.

    Two connections: reading the log at full speed must not delay a sync call.
    """
    client = await connect_nats(settings.nats_url, name="gateway")
    reader = await connect_nats(settings.nats_url, name="gateway-reader")
    pool = open_pool(settings.postgres_url, schema=KEYS.schema, size=POOL)
    gateway = build_gateway(settings, client=client, pool=pool)
    broker = create_broker(settings.nats_url, gateway)
    worker = Worker(KEYS, postgres_url=settings.postgres_url, client=reader)
    await pool.open(wait=False)
    try:
        async with TaskGroup() as tasks:
            tasks.create_task(gateway.keyring.follow(reader))
            tasks.create_task(worker.run())
            tasks.create_task(gateway.live.listen(client))
            await gateway.keyring.caught_up()
            await broker.start()
            await serve(gateway, settings)
    finally:
        await broker.stop()
        await gateway.usage.settled()
        await drain(reader)
        await drain(client)
        await pool.close()
