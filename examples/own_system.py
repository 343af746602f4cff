"""How many units does an LSTM need that predicts the next pitch of each instrument?"""

from dataclasses import dataclass

import torch
from torch import nn

from musiclab import Grid, Study
from musiclab.systems import Config, System, field
from musiclab.training import load_weights, save_weights, shuffled


@dataclass(frozen=True)
class StepLSTMConfig(Config):
    hidden: int = field(128, "train", "units of the LSTM", low=1)
    temperature: float = field(1.0, "generate", "of the drawn pitches", low=0.01)


class StepLSTM(System):
    name, config = "step_lstm", StepLSTMConfig

    def network(self, hidden):  # 5 instruments with 128 pitches and a rest
        return nn.ModuleDict({"lstm": nn.LSTM(645, hidden, batch_first=True), "out": nn.Linear(hidden, 645)})

    def lowest(self, rolls):  # (n, track, step, pitch) bool as the lowest pitch (n, step, track), 128 for a rest
        return torch.where((cells := torch.from_numpy(rolls).transpose(1, 2)).any(-1), cells.int().argmax(-1), 128)

    def train(self, stage, run):
        pitches = self.lowest(run.rolls("train"))
        with run.block.global_torch("init"):
            net = self.network(run.config.hidden)
        adam = torch.optim.Adam(net.parameters(), 8e-3)

        def epoch(epoch):
            for rows in shuffled(len(pitches), 32, run.block.torch("data", epoch.number)):
                states, _ = net["lstm"](nn.functional.one_hot(pitches[rows, :-1], 129).flatten(2).float())
                loss = nn.functional.cross_entropy(net["out"](states).view(-1, 129), pitches[rows, 1:].flatten())
                adam.zero_grad()
                loss.backward()
                adam.step()
            return {"train/loss": loss.item()}

        run.fit(epoch, 10, network=net, adam=adam)  # with checkpoints, resume and curves
        save_weights(net, run.files)

    def continuations(self, run, starts):  # (n, track, step, pitch) bool; returns (n, window, track, step, pitch) bool
        net = load_weights(self.network(run.config.hidden), run.files.product("train"))
        pitches, state, made, noise = self.lowest(starts), None, [], run.block.torch("sampling")
        for _ in range(run.config.continuation * run.config.steps):
            states, state = net["lstm"](nn.functional.one_hot(pitches, 129).flatten(2).float(), state)
            odds = net["out"](states[:, -1]).view(-1, 129) / run.config.temperature
            made.append(pitches := torch.multinomial(odds.softmax(-1), 1, generator=noise).view(-1, 1, 5))
        made = torch.cat(made, 1).view(len(starts), run.config.continuation, -1, 5).transpose(2, 3)
        return nn.functional.one_hot(made, 129)[..., :128].bool().numpy()


if __name__ == "__main__":
    space, control = {"hidden": Grid(32, 128)}, {"hidden": 128}
    Study(name="step_lstm", system=StepLSTM, space=space, control=control, blocks=2, objective="frechet").main()
