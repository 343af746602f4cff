"""What a trial does now, and the words, letters and shapes by which a page tells it."""

from dataclasses import dataclass
from typing import Any

WAITING, RUNNING, RESUMED, FINISHED, REUSED, FAILED, PRUNED = (
    "waiting", "running", "resumed", "finished", "reused", "failed", "pruned",
)  # fmt: skip
AT_WORK = (RUNNING, RESUMED)
OVER = (FINISHED, REUSED, FAILED, PRUNED)


@dataclass(frozen=True)
class Look:
    """How a state looks: a letter, a shape that has no need of colour, and what it means."""

    letter: str
    shape: str
    meaning: str


LOOKS = {
    WAITING: Look("W", "○", "waiting; with a number: it was interrupted and resumes from that epoch"),
    RUNNING: Look("R", "▶", "running, with its epoch"),
    RESUMED: Look("C", "↻", "running again from a checkpoint, with its epoch"),
    FINISHED: Look("F", "●", "finished in this run"),
    REUSED: Look("U", "◆", "finished before this run began, and used again"),
    FAILED: Look("X", "✕", "failed; the log is below"),
    PRUNED: Look("P", "◌", "ended early, because others did better"),
}


@dataclass(frozen=True)
class TrialState:
    """A trial's state.

    Attributes:
        state: one of the above.
        stage: the stage that it is in, if it runs or was interrupted.
        epoch: the last epoch that its stage has written; 0 if it has written none.
        epochs: how many the stage has in all; 0 if that is not known.
        since: when its worker began it, in seconds since 1970; 0 if none has it.
    """

    state: str
    stage: str = ""
    epoch: int = 0
    epochs: int = 0
    since: float = 0.0

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state in OVER

    @property
    def epoch_text(self) -> str:
        """The epoch as a cell shows it: `7/25`, `7`, or nothing."""
        if not self.epoch:
            return ""
        return f"{self.epoch}/{self.epochs}" if self.epochs >= self.epoch else str(self.epoch)

    @property
    def words(self) -> str:
        """The state for a person: `running, vae, epoch 7 of 25`."""
        name = "interrupted" if self.state == WAITING and self.epoch else self.state
        epoch = f"epoch {self.epoch_text.replace('/', ' of ')}" if self.epoch else ""
        return ", ".join(filter(None, [name, self.stage, epoch]))


def epochs_of(config: dict[str, Any], stage: str) -> int:
    """How many epochs a stage trains for, by the fields that systems name so; 0 if there is none."""
    epochs = config.get(f"{stage}_epochs", config.get("epochs", 0))
    return epochs if type(epochs) is int else 0
