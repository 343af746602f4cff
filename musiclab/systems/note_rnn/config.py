"""The config of `note_rnn`."""

from dataclasses import dataclass

from musiclab.data.songs import TRACKS
from musiclab.errors import UserError
from musiclab.systems.config import GENERATE, Config, field

ONSETS, STEPS = "onsets", "steps"


@dataclass(frozen=True)
class NoteRNNConfig(Config):
    """Fields of `note_rnn` by stage; "as written" is the article's text, "as coded" its authors' code."""

    instrument: str = field(
        "Piano", "train", "whose notes are learnt; the others are silent",
        choices=tuple(name for name in TRACKS if name != "Drums"),
    )  # fmt: skip
    tokens: str = field(
        ONSETS, "train", "a token is what starts at a step (onsets), as written, or sounds at it (steps), rests too",
        choices=(ONSETS, STEPS),
    )  # fmt: skip
    vocabulary: int = field(512, "train", "notes and chords that are tokens, at most", low=1, high=100_000)
    layers: int = field(1, "train", "GRU layers: 1 as written, 2 as coded", low=1, high=8)
    hidden: int = field(96, "train", "size of the embedding and of each GRU layer", low=1, high=4096)
    sequence: int = field(64, "train", "tokens a training window", low=2, high=4096)
    epochs: int = field(40, "train", "passes over the training songs", low=1, high=10_000)
    batch: int = field(32, "train", "windows a step; 1 as coded", low=1, high=4096)
    lr: float = field(2e-3, "train", "Adam's learning rate at its highest", low=1e-7, high=1)
    schedule: str = field(
        "decay", "train", "learning rate: decay, by lr_decay an epoch, or cosine, a short rise and then down to 0",
        choices=("decay", "cosine"),
    )  # fmt: skip
    lr_decay: float = field(0.99, "train", "its factor an epoch if the schedule is decay", low=0.1, high=1)
    clip: float = field(1.0, "train", "largest norm of the gradient", low=1e-3, high=1e6)
    keep: str = field(
        "best", "train", "weights of the epoch with the least validation loss, or of the last epoch as coded",
        choices=("best", "last"),
    )  # fmt: skip

    temperature: float = field(1.2, GENERATE, "of the softmax that is sampled from", low=0.01, high=100)

    def check(self) -> None:
        if self.tokens == ONSETS and self.resolution % 2:
            raise UserError(
                f"resolution must be even, because some notes last half a quarter note; got {self.resolution}."
            )

    @property
    def token_steps(self) -> int:
        """How many steps a token lasts."""
        return 1 if self.tokens == STEPS else self.resolution // 2
