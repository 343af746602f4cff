"""Metrics of a study on a cluster, exported by Ray's own means beside Ray's own metrics, for Prometheus to collect.

Ray puts `ray_` before a metric's name and `_total` behind a counter's. Each process hands its metrics to its node every
ten seconds and when it ends. A node forgets a gauge that is not set again within that time.
"""

import contextlib
import threading
from collections.abc import Callable
from functools import cached_property

from ray.util.metrics import Counter, Gauge

from musiclab.errors import one_line
from musiclab.execution.metrics import StudyMetrics

_EVERY_S = 5.0


class MetricsExporter(contextlib.AbstractContextManager[None]):
    """Exports a study's metrics, in a thread of its own so that nothing waits for it, for as long as the context lasts.

    Args:
        study: its name.
        read: returns the metrics of now.
        say: gets one line if that fails for the first time; it is tried again and again.
    """

    def __init__(self, study: str, read: Callable[[], StudyMetrics], say: Callable[[str], None]) -> None:
        self._study, self._read, self._say = study, read, say
        self._exported_failures, self._has_failed, self._over = 0, False, threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(_EVERY_S)

    def _follow(self) -> None:
        is_over = False
        while not is_over:
            is_over = self._over.is_set()
            try:
                metrics = self._read()
                self._export(metrics.over if is_over else metrics)
            except Exception as error:
                if not self._has_failed:
                    self._has_failed = True
                    with contextlib.suppress(Exception):
                        self._say(f"metrics cannot be exported ({one_line(str(error))}); the study goes on")
            self._over.wait(_EVERY_S)

    def _export(self, metrics: StudyMetrics) -> None:
        tags = {"study": self._study}
        for state, number in metrics.trials.items():
            self._trials.set(number, tags | {"state": state})
        self._mirror_behind.set(metrics.mirror_behind, tags)
        if metrics.failures > self._exported_failures:
            self._failures.inc(metrics.failures - self._exported_failures, tags)
            self._exported_failures = metrics.failures

    # Made when first used, in the thread.

    @cached_property
    def _trials(self) -> Gauge:
        return Gauge("musiclab_trials", "Trials of a study by state; they add up to all of it.", ("study", "state"))

    @cached_property
    def _mirror_behind(self) -> Gauge:
        return Gauge("musiclab_mirror_behind_points", "Points of a study's trials that MLflow lacks.", ("study",))

    @cached_property
    def _failures(self) -> Counter:
        return Counter("musiclab_failures", "Failures of trials, those that were tried again included.", ("study",))


class EpochCounter:
    """Counts the epochs that a worker trains. It keeps silent if that fails, because no trial may fail by it.

    Args:
        study: the study's name.
    """

    def __init__(self, study: str) -> None:
        self._study = study

    def __call__(self) -> None:
        """Count one more."""
        with contextlib.suppress(Exception):
            self._epochs.inc(1, {"study": self._study})

    @cached_property
    def _epochs(self) -> Counter:
        return Counter("musiclab_epochs", "Epochs that trials have trained.", ("study",))
