"""Progress of a study's trials for a person: a bar on a terminal, a line now and then in a log."""

import sys
import time

from tqdm import tqdm

_LOG_EVERY_S = 10


class Progress:
    """Trials done of planned, time left, best so far; what was there before counts as done but not for the pace."""

    def __init__(self, done: int, planned: int) -> None:
        self._done, self._before, self._planned = done, done, planned
        self._began = self._said = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(
                total=planned, initial=done, unit="trial", desc="trials", dynamic_ncols=True,
                bar_format="{desc} {n_fmt}/{total_fmt} |{bar}| {elapsed}, left {remaining}{postfix}",
            )  # fmt: skip

    def ended(self, best: str) -> None:
        """One more trial has ended; `best` says who leads."""
        self._done += 1
        if self._bar is not None:
            self._bar.set_postfix_str(best, refresh=False)
            self._bar.update()
            return
        now = time.monotonic()
        if now - self._said >= _LOG_EVERY_S or self._done in (self._before + 1, self._planned):
            self._said = now
            pace = (now - self._began) / (self._done - self._before)
            left = duration(pace * (self._planned - self._done))
            print(f"trials {self._done}/{self._planned}, left {left}, {best}", file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        """A line beside the progress."""
        tqdm.write(line, file=sys.stderr)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.close()


def duration(seconds: float) -> str:
    """Seconds as people say them: 45 s, 3 min, 2 h 10 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
