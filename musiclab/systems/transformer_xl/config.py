"""The config of `transformer_xl`."""

from dataclasses import dataclass

from musiclab.errors import UserError
from musiclab.systems.config import Config, field


@dataclass(frozen=True)
class TransformerXLConfig(Config):
    """Fields of `transformer_xl` by stage; defaults are sized for one CPU, the article's sizes are a scale."""

    d_model: int = field(128, "train", "width of the embeddings and layers", low=2, high=4096)
    layers: int = field(4, "train", "attention layers", low=1, high=64)
    heads: int = field(4, "train", "attention heads; a divisor of d_model", low=1, high=64)
    memory: int = field(128, "train", "tokens before a segment that it attends to; 0 is none", low=0, high=8192)
    segment: int = field(128, "train", "tokens a segment (bptt)", low=2, high=8192)
    batch: int = field(
        8, "train", "streams of songs side by side; fewer if they would be shorter than a segment", low=1, high=4096
    )
    epochs: int = field(5, "train", "passes over the training songs", low=1, high=10_000)
    lr: float = field(1e-3, "train", "Adam's learning rate at its highest; MusicAutobot's", low=1e-7, high=1)
    dropout: float = field(0.1, "train", "of embeddings, attention and blocks", low=0, high=0.9)

    temperature: float = field(1.0, "generate", "divides the logits: lower repeats more", low=0.01, high=100)
    top_k: int = field(30, "generate", "most likely tokens sampled from; 0 is all; MusicAutobot's", low=0, high=10_000)
    top_p: float = field(0.9, "generate", "share of probability sampled from, the most likely first", low=0.01, high=1)

    def check(self) -> None:
        if self.d_model % self.heads or self.d_model % 2:
            raise UserError(f"d_model must be an even multiple of heads ({self.heads}); got {self.d_model}.")

    @property
    def reach(self) -> int:
        """How many tokens back a token sees in measuring and generation, where segments must make no difference."""
        return self.memory + self.segment - 1
