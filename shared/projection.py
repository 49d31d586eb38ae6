"""What a projection is: a declaration of tables, events and one function from batch to rows.

The engine (`shared/worker.py`) does the rest: exactly once, in order, whatever dies.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from shared.events import Event, Recorded
from shared.postgres import Connection


Batch = Sequence[Recorded[Event]]
Apply = Callable[[Connection, Batch], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """What a projection is: a name for ever, a schema of its own, and a fold.

    A rare one handles types that are few in the log: only these are sent to it, and
    its checkpoint passes all others every two seconds.

    `apply` receives events in log order and leaves rows behind: no commit, no clock,
    no network. Table names in `tables` and in all SQL are unqualified.
    """

    name: str
    schema: str
    tables: str
    indexes: str = ""
    """What only readers need: a replay builds these after the load."""
    handles: tuple[type[Event], ...]
    apply: Apply
    is_rare: bool = False

    @property
    def filter(self) -> tuple[str, ...]:
        return tuple(t.__name__ for t in self.handles) if self.is_rare else ()
