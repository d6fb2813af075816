"""An operator's link to one door."""

from replication.blocking_door import BlockingDoor as OperatorLink
from replication.blocking_door import DoorUnreachable

__all__ = ["DoorUnreachable", "OperatorLink"]
