"""A cluster of two Ray nodes on this machine, of which one is killed and comes back."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from tests.support.clusters import Cluster
from tests.support.study_processes import descendants, kill

# Ray takes half a minute to notice a node that is gone; these make that some seconds.
_NOTICE = {
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "20000",  # a busy node answers late, a killed one refuses at once
    "RAY_health_check_failure_threshold": "4",
}


class KilledCluster(Cluster):
    """A cluster of a head and one node: `kill` hits that, `start` makes a new one."""

    def __init__(self, variables: Mapping[str, str] = MappingProxyType({}), inside: Sequence[str] = ()) -> None:
        super().__init__(_NOTICE | variables)
        self._inside = inside

    def start(self) -> None:
        """Start the node."""
        self.process = self.start_node(self._inside)

    def kill(self) -> None:
        """`kill -9` of the node's raylet and, when its workers have gone on for a moment, of all that is left of it."""
        tree = [self.process.pid, *descendants(self.process.pid)]
        kill(*descendants(self.process.pid, "raylet/raylet"))
        time.sleep(1)
        kill(*tree)
        self.process.wait()


@contextlib.contextmanager
def running_cluster(
    variables: Mapping[str, str] = MappingProxyType({}), inside: Sequence[str] = ()
) -> Iterator[KilledCluster]:
    """A cluster that has started, and ends with the context.

    Its processes have the `variables`, and its node runs `inside` another command.
    """
    made = KilledCluster(variables, inside)
    try:
        made.start_head()
        made.start()
        yield made
    finally:
        made.end()
