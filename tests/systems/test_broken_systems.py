"""What `check_system` says of systems that do not keep what every system promises: file, class, what would be right."""

import dataclasses
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from musiclab.errors import UserError
from musiclab.systems import Config, Progress, StageRun, System, field, system
from musiclab.systems.own import estimated_seconds, given_system
from musiclab.testing import BrokenPromises, check_system
from musiclab.training import Learner, load_weights, save_weights

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True)
class GoodConfig(Config):
    epochs: int = field(3, "train", "passes", low=1)
    louder: float = field(1.0, "generate", "factor of all odds", low=0)


class Good(System):
    """Learns how often each pitch of each track sounds, draws from that, and holds the last step of the start too."""

    name, config = "good", GoodConfig

    def network(self) -> torch.nn.Module:
        return torch.nn.ParameterDict({"odds": torch.zeros(5, 128)})

    def train(self, stage: str, run: StageRun) -> None:
        rolls, net = torch.from_numpy(run.rolls("train")).float(), self.network()
        sgd = torch.optim.SGD(net.parameters(), 0.5)

        def epoch(epoch: Any) -> dict[str, float]:
            rows = torch.randperm(len(rolls), generator=self.data(run, epoch.number))[:16]
            loss = (net["odds"] - rolls[rows].mean((0, 2))).square().sum()
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            return {"train/loss": loss.item()}

        run.fit(epoch, run.config.epochs, net=net, sgd=sgd)
        save_weights(net, run.files)

    def data(self, run: StageRun, epoch: int) -> torch.Generator:
        return run.block.torch("data", epoch)

    def continuations(self, run: StageRun, starts: np.ndarray) -> np.ndarray:
        odds = load_weights(self.network(), run.files.product("train"))["odds"].clamp(0, 1) * run.config.louder
        shape = (len(starts), run.config.continuation, run.config.steps, 5, 128)
        made = torch.rand(shape, generator=run.block.torch("sampling")) < odds
        return made.numpy().transpose(0, 1, 3, 2, 4) | starts[:, None, :, -1:]


class Unordered(Good):
    """Its music depends on the order of a set, which differs from process to process."""

    name = "unordered"

    def continuations(self, run: StageRun, starts: np.ndarray) -> np.ndarray:
        made = Good.continuations(self, run, starts)
        made[:, :, 0, 0, list({f"pitch {n}" for n in range(128)}).index("pitch 5")] = True
        return made


@pytest.fixture(scope="module", autouse=True)
def _examples() -> Any:
    """The examples can be imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
        yield


class Keeping(Good):
    """Keeps the network of the first trial that a process runs, and plays it in all later ones."""

    name = "keeping"

    def continuations(self, run: StageRun, starts: np.ndarray) -> np.ndarray:
        return self.kept(run, starts, Keeping)

    def kept(self: Any, run: StageRun, starts: np.ndarray, owner: Any) -> np.ndarray:
        if not hasattr(owner, "net"):
            owner.net = load_weights(self.network(), run.files.product("train"))
        shape = (len(starts), run.config.continuation, run.config.steps, 5, 128)
        made = torch.rand(shape, generator=run.block.torch("sampling")) < owner.net["odds"].clamp(0, 1)
        return made.numpy().transpose(0, 1, 3, 2, 4) | starts[:, None, :, -1:]


def said(kind: Any, **fields: Any) -> list[str]:
    """The sentences about a system, each with its file and class."""
    with pytest.raises(BrokenPromises) as broken:
        check_system(kind, **fields)
    assert all(sentence.startswith("test_broken_systems.py: ") for sentence in broken.value.sentences)
    return broken.value.sentences


def broken(**changes: Any) -> Any:
    """The good system with some attributes changed, as a class that others find by its name."""
    made = type("Broken", (Good,), {"__module__": __name__, "name": "broken", **changes})
    globals()["Broken"] = made
    return made


def test_a_good_one_is_silent() -> None:
    check_system(Good)


def test_a_config_whose_field_has_no_stage() -> None:
    @dataclass(frozen=True)
    class NoStage(Config):
        width: int = 8

    (sentence,) = said(broken(config=NoStage))
    assert sentence.endswith(
        "NoStage: width must have a stage, such as width: int = field(8, 'train', 'what it means')."
    )

    @dataclass(frozen=True)
    class Trian(Config):
        width: int = field(8, "trian", "width")

    (sentence,) = said(broken(config=Trian))
    assert "width must belong to one of the stages windows, train, generate, measure; got 'trian'." in sentence

    class NoDataclass(Config):
        width: int = field(8, "train", "width")

    (sentence,) = said(broken(config=NoDataclass))
    assert sentence.endswith("NoDataclass must stand under @dataclass(frozen=True), so that its fields are seen.")


def test_a_name_that_is_none_or_taken() -> None:
    (sentence,) = said(broken(name="two words"))
    assert (
        "Broken must have a name of letters, digits and '_', such as name = 'my_system'; got 'two words'." in sentence
    )
    (sentence,) = said(broken(name="gan"))
    assert "Broken must have a name of its own; 'gan' is a system of musiclab's." in sentence


def test_a_class_that_lacks_a_method_or_has_unknown_conditions() -> None:
    class Half(System):
        name, config = "half", GoodConfig

    (sentence,) = said(Half)
    assert sentence.endswith("Half must define continuations and train.")
    (sentence,) = said(broken(conditions=("strat",)))
    assert "conditions must be some of start, piano, noise, target, alpha; got 'strat'." in sentence


def test_a_stage_that_writes_nothing() -> None:
    def continuations(self: Good, run: StageRun, starts: np.ndarray) -> np.ndarray:
        made = np.repeat(starts[:, None], run.config.continuation, axis=1)
        return made | (run.block.numpy("sampling").random(made.shape) < 0.01)

    sentences = said(broken(train=lambda self, stage, run: None, continuations=continuations))
    assert any("the stage train must write a file with what it has learnt" in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (lambda rolls: rolls[:, :1], r"got \(6, 1, 5, 32, 128\), bool"),
        (lambda rolls: rolls.astype(np.float32), r"got \(6, 3, 5, 32, 128\), float32"),
        (lambda rolls: None, r"got \(\), object"),
    ],
)
def test_continuations_of_another_shape_or_type(wrong: Any, got: str) -> None:
    def continuations(self: Good, run: StageRun, starts: np.ndarray) -> Any:
        return wrong(Good.continuations(self, run, starts))

    with pytest.raises(
        BrokenPromises,
        match=rf"Broken: continuations must be rolls .* of shape \(6, 3, 5, 32, 128\) and type bool; {got}",
    ):
        check_system(broken(continuations=continuations))


def test_draws_that_are_not_the_block_s() -> None:
    (sentence,) = said(broken(data=lambda self, run, epoch: torch.Generator().manual_seed(torch.seed() % 2**40)))[:1]
    assert (
        "run twice, the stage train leaves another weights.safetensors; all draws must come from run.block" in sentence
    )


def test_a_resume_that_draws_from_the_beginning_again() -> None:
    streams: dict[int, tuple[StageRun, torch.Generator]] = {}

    def data(self: Good, run: StageRun, epoch: int) -> torch.Generator:
        return streams.setdefault(id(run), (run, run.block.torch("data")))[1]  # goes on from epoch to epoch

    (sentence,) = said(broken(data=data))
    assert "the stage train, killed after epoch 1 and resumed, leaves other files than one straight through" in sentence


def test_conditions_that_change_nothing_and_others_that_do() -> None:
    def deaf(self: Good, run: StageRun, starts: np.ndarray) -> np.ndarray:
        return Good.continuations(self, run, np.zeros_like(starts))

    (sentence,) = said(broken(continuations=deaf))
    assert sentence.endswith("conditions has 'start', but other start windows changed nothing; leave it out, or use it")
    (sentence,) = said(broken(conditions=("start",)))
    assert sentence.endswith("conditions lacks 'noise', but other noise after one start changed the continuations")


def test_what_needs_the_training_data_to_generate() -> None:
    def continuations(self: Good, run: StageRun, starts: np.ndarray) -> np.ndarray:
        return Good.continuations(self, run, starts) & (run.rolls("train").mean() < 1)

    (sentence,) = said(broken(continuations=continuations))
    assert "continuations must not need the training data; keep what they need in a stage that trains" in sentence


def test_what_is_kept_in_the_instance() -> None:
    def train(self: Any, stage: str, run: StageRun) -> None:
        Good.train(self, stage, run)
        self.learnt = True

    def continuations(self: Any, run: StageRun, starts: np.ndarray) -> np.ndarray:
        return Good.continuations(self, run, starts) & self.learnt

    # Training and generating share an instance in the first run; later generation has a fresh one.
    sentences = said(broken(train=train, continuations=continuations))
    assert any("AttributeError: 'Broken' object has no attribute 'learnt'" in sentence for sentence in sentences)


def test_silence_that_cannot_be_continued() -> None:
    def continuations(self: Good, run: StageRun, starts: np.ndarray) -> np.ndarray:
        if not starts.any(axis=(1, 2, 3)).all():
            raise ZeroDivisionError("nothing sounds")
        return Good.continuations(self, run, starts)

    (sentence,) = said(broken(continuations=continuations))
    assert "continuing silence raises ZeroDivisionError: nothing sounds (test_broken_systems.py, line " in sentence


def test_the_same_music_for_every_block() -> None:
    def train(self: Any, stage: str, run: StageRun) -> None:
        buffer = io.BytesIO()
        np.save(buffer, np.full((5, 128), 0.1))
        run.files.write("odds.npy", buffer.getvalue())

    def continuations(self: Any, run: StageRun, starts: np.ndarray) -> np.ndarray:
        odds = np.load(io.BytesIO(run.files.product("train").read("odds.npy")))
        shape = (len(starts), run.config.continuation, run.config.steps, 5, 128)
        made = np.random.default_rng(0).random(shape) < odds
        return made.transpose(0, 1, 3, 2, 4)

    (sentence,) = said(broken(train=train, continuations=continuations, conditions=("noise",)))[:1]
    assert "another block must give other files; those of the stage" in sentence


def test_what_another_process_cannot_import() -> None:
    (sentence,) = said(broken())  # it keeps all promises, but only this process has made it
    assert (
        "sending it to another process: tests.systems.test_broken_systems: Broken must be defined whenever" in sentence
    )

    class Inside(Good):
        name = "inside"

    (sentence,) = said(Inside)
    assert sentence.endswith(
        "Inside must have a name at the top level of its file, so that other processes can import it."
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Unordered, Keeping])
def test_what_depends_on_the_process(kind: Any) -> None:
    (sentence,) = said(kind)
    assert "run in another process, the stage generate leaves another generated.npy; nothing may depend on" in sentence


def test_a_stage_that_reads_a_field_of_a_later_one() -> None:
    def train(self: Good, stage: str, run: StageRun) -> None:
        Good.train(self, stage, dataclasses.replace(run, block=run.block) if run.config.louder > 2 else run)

    (sentence,) = said(broken(train=train))
    assert sentence.endswith(
        "Broken: the stage train must not read louder, a field of generate, because trials that differ in it share "
        "what train leaves; make it a field of train."
    )


def test_what_one_trial_leaves_in_the_instance_for_the_next() -> None:
    def continuations(self: Any, run: StageRun, starts: np.ndarray) -> np.ndarray:
        return Keeping.kept(self, run, starts, self)

    sentences = said(broken(continuations=continuations))
    assert any("run after another block, the stage generate leaves another generated.npy" in each for each in sentences)


def test_noise_that_is_the_same_in_all_blocks() -> None:
    def continuations(self: Any, run: StageRun, starts: np.ndarray) -> np.ndarray:
        odds = load_weights(self.network(), run.files.product("train"))["odds"].clamp(0, 1)
        shape = (len(starts), run.config.continuation, run.config.steps, 5, 128)
        made = torch.rand(shape, generator=torch.Generator().manual_seed(3)) < odds
        return made.numpy().transpose(0, 1, 3, 2, 4) | starts[:, None, :, -1:]

    (sentence,) = said(broken(continuations=continuations))
    assert "conditions has 'noise', but the noise of another block after the same starts changed nothing" in sentence


@pytest.mark.parametrize(
    ("attributes", "right"),
    [
        ({"stages": "train"}, "stages must be a tuple of names, such as ('train',); got 'train'."),
        ({"stages": {"train": 1}}, "stages must be those that train, such as ('train',), or a dict that ends with"),
        ({"stages": ("generate", "train")}, "stages must be those that train, such as ('train',), or a dict that"),
        ({"scales": {"small": {}}}, "scales must be a dict with demo and article; got {'small': {}}."),
        ({"forms": {}}, "forms must be a dict with mended and written and coded; got {}."),
        ({"scales": {"demo": None, "article": {}}}, "scales['demo'] must be a dict of fields; got None."),
        ({"progress": Progress("train", "loss", "lower", "x")}, "progress.unlike must be a tuple of fields; got 'x'."),
        ({"estimated_seconds": 5}, "must define estimated_seconds(self, config, windows); got estimated_seconds = 5."),
        ({"estimated_seconds": lambda self: 5}, "must define estimated_seconds(self, config, windows); got estimated_"),
        ({"scales": {"demo": {"epoch": 2}, "article": {}}}, "scales['demo'] must be values of its fields: There is no"),
        ({"progress": "loss"}, "progress must be a musiclab.systems.Progress, or None; got 'loss'."),
        ({"progress": Progress("generate", "loss", "lower")}, "progress.stage must be one of train; got 'generate'."),
        ({"progress": Progress("train", "loss", "less")}, "progress.better must be lower or higher; got 'less'."),
        (
            {"progress": Progress("train", "loss", "lower", ("x",))},
            "progress.unlike must be fields of its config; got 'x'",
        ),
        ({"provides": ("latent",)}, "provides must be some of latents, pairs, tokens; got 'latent'."),
        ({"conditions": "start"}, "conditions must be a tuple, such as ('start',); got 'start'."),
        ({"__init__": lambda self, width: None}, "must be made without arguments; its __init__ takes width."),
        ({"train": lambda self, run: None}, "must define train(self, stage, run); got train(self, run)."),
        ({"continuations": lambda self, run: None}, "must define continuations(self, run, starts); got continuations("),
    ],
)
def test_attributes_that_nobody_can_use(attributes: dict[str, Any], right: str) -> None:
    (sentence,) = said(broken(**attributes))
    assert right in sentence


@pytest.mark.parametrize(
    ("kind", "wrong", "right"),
    [
        (int, field(0.1, "train", "units"), "the default of width must be of the type beside it, int; got 0.1."),
        (int, field(True, "train", "units"), "the default of width must be of the type beside it, int; got True."),
        (
            "float",
            field("1.0", "train", "units"),
            "the default of width must be of the type beside it, float; got '1.0'.",
        ),
        (str, field("a lot", "train", "units", low=0.0), "must be a number, because it has a low; got 'a lot'."),
        (float, field(1.0, "train", "units", high="2"), "high of width must be a number; got '2'."),
        (int, field(8, "train", "units", choices=8), "values such as its default 8; got 8."),
        (int, field(8, "train", "units", choices=(8, "x")), "values such as its default 8; got (8, 'x')."),
        (str, field("a", "train", "units", choices="abc"), "values such as its default 'a'; got 'abc'."),
    ],
)
def test_defaults_and_limits_that_do_not_fit(kind: Any, wrong: Any, right: str) -> None:
    config = type("Odd", (Config,), {"__annotations__": {"width": kind}, "width": wrong, "__module__": __name__})
    (sentence,) = said(broken(config=dataclass(frozen=True)(config)))
    assert sentence.endswith(right)


def _ends(run: StageRun) -> None:
    sys.exit(0)


@pytest.mark.parametrize(
    ("act", "right"),
    [
        (_ends, "Broken must not end the process; it raises SystemExit: 0 (test_broken_systems.py, line "),
        (
            lambda run: run.files.write("../odds", b""),
            "must have a name such as 'odds.npy', without folders; got '../odds'",
        ),
        (lambda run: run.files.write("", b""), "must have a name such as 'odds.npy', without folders; got ''"),
        (
            lambda run: run.files.write("curves.json", b""),
            "must have a name of its own; 'curves.json' is one of musiclab",
        ),
        (
            lambda run: run.files.write("odds", "0.5"),
            "the content of 'odds' must be bytes, such as a text's .encode() ",
        ),
        (lambda run: run.files.write("odds", np.ones(3)), "or an array's .tobytes(); got ndarray."),
        (
            lambda run: run.files.product("train").read("ods"),
            "FileNotFoundError: the stage train has no file 'ods'; it ",
        ),
        (
            lambda run: run.files.product("trian"),
            "product must name an earlier stage; train is the first; got 'trian'.",
        ),
        (lambda run: run.rolls("training"), "must be asked for one of train, pairs, validation; got 'training'."),
        (
            lambda run: run.fit(lambda epoch: None, 1),
            "must return the values of its curves by name, such as {'train/loss'",
        ),
        (lambda run: run.fit(lambda epoch: 0.5, 1), "<lambda> must return the values of its curves by name, such as "),
        (lambda run: run.fit(lambda epoch: {"a": "x"}, 1), "such as {'train/loss': 0.5}; got 'x' for 'a'."),
        (lambda run: run.fit(lambda epoch: {"a": np.ones(3)}, 1), "0.5}; got ndarray of shape (3,) for 'a'."),
    ],
)
def test_mistakes_in_a_stage_are_one_sentence(act: Any, right: str) -> None:
    def train(self: Good, stage: str, run: StageRun) -> None:
        act(run)
        Good.train(self, stage, run)

    (sentence,) = said(broken(train=train), epochs=1)
    assert right in sentence


def test_files_of_earlier_stages_are_named() -> None:
    def continuations(self: Good, run: StageRun, starts: np.ndarray) -> np.ndarray:
        with pytest.raises(UserError, match="product must name one of train; got 'trian'"):
            run.files.product("trian")
        with pytest.raises(FileNotFoundError, match=r"has no file 'odds'; it has weights.safetensors$"):
            run.files.product("train").read("odds")
        with pytest.raises(UserError, match=r"'odds' was to be written among those of train, which has finished\.$"):
            run.files.product("train").write("odds", b"")
        run.files.product("generate").write("odds", b"")  # its own
        raise ArithmeticError("as far as here")

    (sentence,) = said(broken(continuations=continuations))
    assert "as far as here" in sentence


@pytest.mark.parametrize("name", ["steps", "value", "check", "spec", "system", "form"])
def test_fields_with_a_name_that_every_system_has(name: str) -> None:
    config = type("Shadow", (Config,), {"__annotations__": {name: int}, name: field(8, "train", "units")})
    config.__module__ = __name__
    with pytest.raises(BrokenPromises, match=f"{name} must have another name, because every config has a {name}"):
        check_system(broken(config=dataclass(frozen=True)(config)))
    made: dict[str, Any] = {"__name__": __name__}
    exec(f"def chords(data, *, {name}=1): ...", made)
    with pytest.raises(UserError, match=f"chords: {name} must have another name; every system has a {name}"):
        given_system(system(made["chords"]))  # not before, because an error on import would be a traceback


class Watched(Learner):
    """Pulls its one weight to 1; what its progress says is up to a test."""

    def __init__(self, value: float) -> None:
        self.value = value
        self.modules = {"net": torch.nn.ParameterDict({"odds": torch.zeros(5, 128)})}
        self.optimizers = {"sgd": torch.optim.SGD(self.modules["net"].parameters(), 0.1)}

    def epoch(self, epoch: Any) -> dict[str, float]:
        for _ in epoch.steps(range(4), 4):
            self.optimizers["sgd"].zero_grad()
            (self.modules["net"]["odds"] - 0.5).square().sum().backward()
            self.optimizers["sgd"].step()
        return {}

    def progress(self) -> float:
        return self.value


def test_a_progress_that_is_no_number_or_never_asked_for() -> None:
    def train(self: Any, stage: str, run: StageRun) -> None:
        learner = Watched(float("nan"))
        run.fit(learner, run.config.epochs)
        save_weights(learner.modules["net"], run.files)

    progress = Progress("train", "loss", "lower")
    for attributes in ({"train": train}, {}):
        sentences = said(broken(progress=progress, **attributes))
        assert any("has a progress, so it must use run.fit with a Learner" in each or "has no progress" in each
                   for each in sentences), sentences  # fmt: skip


def test_what_checkpoints_cannot_keep_is_refused() -> None:
    def train(self: Any, stage: str, run: StageRun) -> None:
        net = self.network()
        sgd = torch.optim.SGD(net.parameters(), 0.5)
        run.fit(lambda epoch: {}, 2, net=net, schedule=torch.optim.lr_scheduler.ExponentialLR(sgd, 0.5))

    (sentence,) = said(broken(train=train))
    assert "run.fit must get modules and optimizers; got ExponentialLR for schedule." in sentence


def test_own_measures_that_no_report_shows() -> None:
    (sentence,) = said(broken(own_measures=lambda self, run: {"mine/brightness": 1.0}))
    assert "own_measures must give measures that musiclab knows, such as " in sentence
    assert "; got mine/brightness, which no report would show" in sentence


def test_a_class_that_cannot_be_made() -> None:
    with pytest.raises(UserError, match=r"Broken must be made without an error: ZeroDivisionError: .*, line \d+\)\.$"):
        given_system(broken(__init__=lambda self: 1 / 0))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda *_: 1 / 0, "raises ZeroDivisionError: division by zero (test_broken_systems.py, line "),
        (lambda *_: "long", "must give seconds above 0, or None; got 'long'."),
        (lambda *_: 0, "must give seconds above 0, or None; got 0."),
        (lambda *_: float("nan"), "must give seconds above 0, or None; got nan."),
    ],
)
def test_an_estimate_that_is_none(given: Any, said: str) -> None:
    with pytest.raises(UserError) as caught:
        estimated_seconds(broken(estimated_seconds=given)(), Good.config(), 64)
    assert f"Broken: estimated_seconds {said}" in str(caught.value)
    assert estimated_seconds(broken(estimated_seconds=lambda *_: np.float32(2))(), Good.config(), 64) == 2.0


def test_a_function_whose_arguments_are_no_fields() -> None:
    def chord(data: Any, order: int = 1) -> np.ndarray:
        raise NotImplementedError

    with pytest.raises(UserError, match=r"chord must take the data and then fields by keyword with defaults, such as"):
        given_system(system(chord))

    def sizes(data: Any, *, order: tuple[int, ...] = (1,)) -> np.ndarray:
        raise NotImplementedError

    def heat(data: Any, *, heat: float = "1.0") -> np.ndarray:  # type: ignore[assignment]
        raise NotImplementedError

    with pytest.raises(UserError, match=r"heat: the default of heat must be of the type beside it, float; got '1.0'"):
        given_system(system(heat))
    with pytest.raises(
        UserError, match=r"sizes: the default of order must be a number, a text, True or False; got \(1"
    ):
        given_system(system(sizes))
    with pytest.raises(UserError, match=r"@system must stand above a function; got test_broken_systems.py: Good\."):
        given_system(system(Good))


def test_the_function_of_the_example_is_a_system() -> None:
    from own_function import chord_markov

    check_system(chord_markov, order=1)
    fields = [spec.name for spec in dataclasses.fields(chord_markov.config)]
    assert fields[-1] == "order"
    assert list(chord_markov.stages) == ["generate", "measure"]


@pytest.mark.slow
def test_the_systems_of_the_examples_keep_their_promises() -> None:
    from own_package import NearestSteps
    from own_system import StepLSTM

    check_system(StepLSTM, hidden=8)
    check_system(NearestSteps)
