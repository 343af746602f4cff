"""The documents of a trial: its record, its cost, its failure, and the baselines of its block.

Whoever adds a field to one of them gives it a default, so that files without it are still read. A change that an
earlier version would misread raises `FORMAT`, and a storage of the format before stays in `tests/assets/storages`.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self

from musiclab.design.spec import is_folder_name
from musiclab.design.trials import TrialSpec, Variant, block_from_json, runtime_from_json
from musiclab.fields import Fields
from musiclab.storage.documents import FORMAT, with_nan, without_nan
from musiclab.training.runtime import Runtime
from musiclab.training.streams import Block


@dataclass(frozen=True, kw_only=True)
class TrialData:
    """The data that a trial saw.

    Attributes:
        fingerprint: of the windows.
        split: content hash of the split, which is its file name in `splits/`.
        songs: how many songs each part of the split has.
        windows: how many windows the trial saw of each part.
    """

    fingerprint: str
    split: str = ""
    songs: dict[str, int] = field(default_factory=dict)
    windows: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: object) -> Self:
        """From a record's field `data`; fields that this version does not know are ignored."""
        fields = Fields(value)
        return cls(
            fingerprint=fields.take("fingerprint", str),
            split=fields.take_or("split", str, ""),
            songs=fields.table("songs", int, {}),
            windows=fields.table("windows", int, {}),
        )


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """The durable result of a finished trial, equal to the bit wherever the trial ran (`record.json`).

    Attributes:
        key: the trial's key.
        system: the system's name.
        config: all fields of the system's config.
        block: the paired replicate.
        stages: the stages' keys by name; JSON sorts them.
        data: what the trial saw of its data.
        measures: values by full name; NaN if there is none.
        baselines: what real music, shuffled tracks and random notes score, by full name and kind.
        runtime: what the trial ran on; None if an earlier version made the record.
        histograms: counts by `generated` or `real` and by feature.
        samples: content hash of each sample's MIDI file, by its name; earlier versions list pictures and sounds too.
        extra: fields that this version does not know.
    """

    FORMAT: ClassVar[int] = 1

    key: str
    system: str
    config: dict[str, Any]
    block: Block
    stages: dict[str, str]
    data: TrialData
    measures: dict[str, float]
    baselines: dict[str, float]
    runtime: Runtime | None = None
    histograms: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    samples: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """See `Document`."""
        fields = Fields(value)
        if fields.take_or(FORMAT, int, 0) == 0:
            fields.rename("scale", "baselines")
        stages = fields.table("stages", str)
        if not all(map(is_folder_name, stages.values())):
            raise ValueError("a stage's key must be a folder's name")
        return cls(
            key=fields.take("key", str),
            system=fields.take("system", str),
            config=fields.table("config", object),
            block=block_from_json(fields.take("block", dict)),
            stages=stages,
            data=TrialData.from_json(fields.take("data", dict)),
            measures=with_nan(fields.take("measures", dict)),
            baselines=with_nan(fields.take("baselines", dict)),
            runtime=runtime_from_json(fields.take_or("runtime", dict, None)),
            histograms=fields.table("histograms", dict, {}),
            samples=fields.table("samples", str, {}),
            extra=fields.rest,
        )

    def to_json(self) -> dict[str, Any]:
        """See `Document`."""
        return {
            FORMAT: self.FORMAT,
            "key": self.key,
            "system": self.system,
            "config": self.config,
            "block": asdict(self.block),
            "stages": self.stages,
            "runtime": self.runtime and self.runtime.to_json(),
            "data": asdict(self.data),
            "measures": without_nan(self.measures),
            "baselines": without_nan(self.baselines),
            "histograms": self.histograms,
            "samples": self.samples,
        } | self.extra

    @property
    def trial_spec(self) -> TrialSpec:
        """The trial that the record came from, of no study in particular."""
        variant = Variant(self.system, {}, self.config, self.data.fingerprint)
        # JSON has sorted the stages; the last one is known by its key, which is the trial's.
        stages = sorted(self.stages.items(), key=lambda stage: stage[1] == self.key)
        return TrialSpec(variant, self.block, dict(stages), self.runtime)


@dataclass(frozen=True, kw_only=True)
class TrialCost:
    """What a finished trial cost and where it ran (`run.json`).

    Attributes:
        began: in seconds since 1970.
        ended: the same, later than `began`.
        seconds: by stage, of those that ran.
        reused: the stages that were there already.
        peak_memory_mib: of its worker, so far.
        device: `cpu`, or the name of the GPU.
        host: the machine's name.
        pid: of its worker.
        source: the songs, such as `chorales`.
        versions: of musiclab, Python and libraries, by name.
        checksums: content hash of each sample's picture and sound, by its file's name. They are not in the record,
            because other versions of the libraries that draw and encode give other bytes.
        extra: fields that this version does not know.
    """

    FORMAT: ClassVar[int] = 1

    began: float
    ended: float
    seconds: dict[str, float] = field(default_factory=dict)
    reused: tuple[str, ...] = ()
    peak_memory_mib: int = 0
    device: str = ""
    host: str = ""
    pid: int = 0
    source: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def wall_seconds(self) -> float:
        """Seconds from beginning to end."""
        return self.ended - self.began

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """See `Document`."""
        fields = Fields(value)
        fields.take_or(FORMAT, int, 0)
        return cls(
            began=fields.take("began", float),
            ended=fields.take("ended", float),
            seconds=fields.table("seconds", float, {}),
            reused=fields.sequence("reused", str, ()),
            peak_memory_mib=fields.take_or("peak_memory_mib", int, 0),
            device=fields.take_or("device", str, ""),
            host=fields.take_or("host", str, ""),
            pid=fields.take_or("pid", int, 0),
            source=fields.take_or("source", str, ""),
            versions=fields.table("versions", str, {}),
            checksums=fields.table("checksums", str, {}),
            extra=fields.rest,
        )

    def to_json(self) -> dict[str, Any]:
        """See `Document`."""
        return {
            FORMAT: self.FORMAT,
            "began": self.began,
            "ended": self.ended,
            "seconds": self.seconds,
            "reused": list(self.reused),
            "peak_memory_mib": self.peak_memory_mib,
            "device": self.device,
            "host": self.host,
            "pid": self.pid,
            "source": self.source,
            "versions": self.versions,
            "checksums": self.checksums,
        } | self.extra


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a trial failed when it was last tried (`failed.json`, with `failed.log` beside it).

    Attributes:
        reason: one line.
        again: whether a retry may succeed.
        diverged: whether a loss or a weight was no longer finite, so that the config is at fault.
        time: when it failed, in seconds since 1970.
        log: the whole log; it is not part of the JSON.
        extra: fields that this version does not know.
    """

    FORMAT: ClassVar[int] = 1

    reason: str
    again: bool = False
    diverged: bool = False
    time: float = 0.0
    log: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """See `Document`."""
        fields = Fields(value)
        fields.take_or(FORMAT, int, 0)
        return cls(
            reason=fields.take("reason", str),
            again=fields.take_or("again", bool, False),
            diverged=fields.take_or("diverged", bool, False),
            time=fields.take_or("time", float, 0.0),
            extra=fields.rest,
        )

    def to_json(self) -> dict[str, Any]:
        """See `Document`."""
        own = {name: getattr(self, name) for name in ("reason", "again", "diverged", "time")}
        return {FORMAT: self.FORMAT} | own | self.extra


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """The baselines of a block, to read its measures against (`scales/<key>.json`).

    Attributes:
        values: what real music, shuffled tracks and random notes score, by full name and kind; NaN if there is none.
        histograms: counts of the block's real windows, by feature.
        extra: fields that this version does not know.
    """

    FORMAT: ClassVar[int] = 1

    values: dict[str, float]
    histograms: dict[str, list[int]] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """See `Document`."""
        fields = Fields(value)
        fields.take_or(FORMAT, int, 0)
        return cls(
            values=with_nan(fields.take("values", dict)),
            histograms=fields.table("histograms", list, {}),
            extra=fields.rest,
        )

    def to_json(self) -> dict[str, Any]:
        """See `Document`."""
        return {
            FORMAT: self.FORMAT,
            "values": without_nan(self.values),
            "histograms": self.histograms,
        } | self.extra
