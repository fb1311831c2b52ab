"""Family: a run and, where it is a sweep's, its trials' runs; all that one drainer delivers.

Trials may be recorded on other nodes. What is delivered rests on their spools alone, on storage that all see;
a mount that shows names and sizes late (NFS: up to a minute) makes it late. How a run ended that does not say
so itself is told by its writer's lock, and only once the sweep's own process is gone: until then the sweep is
the judge, which tries a lost trial again or concludes it. Where locks do not reach across nodes (NFS with
nolock or local_lock, FUSE stores), a worker that outlives its driver may be called killed too early. Either
way nothing is lost: what came too late goes, its true end included, when the sweep is next drained.
"""

from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from modules.configuration.errors import UserError
from modules.tracking.delivery import Delivery
from modules.tracking.spool import EVENTS, read_followed
from modules.tracking.store import Stores
from modules.tracking.tracking_folder import drainer_lock, is_held, read_run, writer_lock


@dataclass
class Member:
    """One run.

    Attributes:
        folder: its tracking folder.
        name: what a new run is called; empty for its own name.
        delivery: of its spool, while it has something to say.
        lock: the drainer's, held as long as `delivery` is there; None for the head, whose lock others hold.
        settled_size: the spool's length when all of it was delivered and the run had ended.
    """

    folder: Path
    name: str = ""
    delivery: Delivery | None = None
    lock: FileLock | None = None
    settled_size: int = -1

    def open(self, stores: Stores) -> Delivery | None:
        """What delivers the spool; None if there is nothing to deliver, or another drainer is at it."""
        run = read_run(self.folder)
        if run is None or run["settings"]["uri"] is None:
            return None
        if self.delivery is None or self.delivery.run != run:
            if self.delivery is None and not self._acquire():
                return None
            self.delivery = Delivery(self.folder, run, stores, self.name)
        return self.delivery

    def _acquire(self) -> bool:
        if self.lock is not None:
            try:
                self.lock.acquire(timeout=0)
            except Timeout:
                return False
        return True

    def settle(self, size: int) -> None:
        """All is said; should the spool grow again, it is opened again."""
        self.settled_size = size
        self.delivery = None
        if self.lock is not None:
            self.lock.release()


class Family:
    """Sends the spools of one folder and of the folders that it follows. Hold the head's drainer lock.

    Args:
        folder: a tracking folder that a Tracker or SweepTracker has opened.

    Attributes:
        error: why something could not be sent in the last pass; empty if all could.
        is_over: whether every process that records here had ended before the last pass.
        num_children: runs that are followed.
    """

    def __init__(self, folder: Path) -> None:
        self._head = Member(folder)
        self._children: deque[Member] = deque()
        self._known: set[Path] = set()
        self._offset = 0  # of the list of runs to follow
        self._stores = Stores()
        self.error = ""
        self.is_over = False

    @property
    def num_children(self) -> int:
        return len(self._children)

    def send(self) -> bool:
        """Sends what all spools hold now; of a run that failed, the rest is for the next pass.

        Returns:
            Whether anything was sent.
        """
        self.error = ""
        self.is_over = not is_held(writer_lock(self._head.folder))
        self._look_for_children()
        away: set[str] = set()
        sent = self._send(self._head, self.is_over, away)
        head_is_over = self.is_over
        for member in list(self._children):
            if _size(member.folder) != member.settled_size:
                sent |= self._send(member, head_is_over, away)
        return sent

    def end_removed(self) -> None:
        """The head's folder is gone: nothing more will come of the runs that were under way in it."""
        for member in (self._head, *self._children):
            if member.delivery is not None and not member.folder.exists():
                with suppress(Exception):  # the tracker is away, and nothing is left to try again from
                    member.delivery.finish_removed()

    def _look_for_children(self) -> None:
        for folder, name, offset in read_followed(self._head.folder, self._offset):
            self._offset = offset
            if folder not in self._known:
                self._known.add(folder)
                self._children.append(Member(folder, name, lock=drainer_lock(folder)))

    def _send(self, member: Member, head_is_over: bool, away: set[str]) -> bool:
        is_over = head_is_over and not is_held(writer_lock(member.folder))
        size = _size(member.folder)
        delivery = member.open(self._stores)
        if delivery is None or delivery.state.uri in away:
            return False
        self.is_over &= is_over
        try:
            if member is not self._head and not self._adopt(delivery):
                return False
            sent = delivery.send()
            if is_over and not sent:
                delivery.finish_unspoken()
        except Exception as error:  # whatever it is, the recording must not notice, and the spool is safe
            self._fail(member, error, away)
            return False
        if member is not self._head and delivery.state.has_ended and delivery.state.holds_all(size):
            member.settle(size)
        return sent

    def _adopt(self, delivery: Delivery) -> bool:
        """Makes the head the parent of a run of the same experiment; False while it is not there itself."""
        head = self._head.delivery
        if head is not None and head.place == delivery.place:
            delivery.parent_id = head.state.run_id
            return bool(delivery.parent_id)
        return True

    def _fail(self, member: Member, error: Exception, away: set[str]) -> None:
        """Lets the others go first in the next pass; a tracker that is away is asked no more in this one."""
        assert member.delivery is not None
        member.delivery.pause(error)
        self.error = self.error or member.delivery.state.error
        if not isinstance(error, UserError):
            away.add(member.delivery.state.uri)
        if member is not self._head:
            self._children.remove(member)
            self._children.append(member)


def _size(folder: Path) -> int:
    try:
        return (folder / EVENTS).stat().st_size
    except FileNotFoundError:
        return -1
