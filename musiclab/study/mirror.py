"""The MLflow mirror: a process of its own that brings MLflow level with the records; the only module that knows MLflow.

It follows what trials write to the storage, so no trial and no scheduler ever waits for a tracking server, and it can
start over at any time: runs are found by their tags, points carry the time at which they were made, and MLflow keeps
one of two equal points. `Mirror` starts and stops it from a study; `python -m musiclab.study.mirror` is that process.
"""

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from musiclab.errors import UserError
from musiclab.hashing import content_hash
from musiclab.measures.registry import MEASURES
from musiclab.study.answer import Answer, answer
from musiclab.study.comparisons import Terms
from musiclab.study.plan import SYSTEM, Cell
from musiclab.study.records import Records
from musiclab.study.shown import in_words, verdict
from musiclab.study.storage import Storage, cache_folder
from musiclab.study.table import table

_EVERY_S = 2.0
_REPORT = ("report.html", "results.csv", "results.json", "table.tex")
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_UI = "http://127.0.0.1:5000"  # where `mlflow ui` listens when it is told nothing else
# Read by MLflow when it is imported. A server that is down is asked again on the next round, not within a call: a
# second try of a call that came through, but whose answer was lost, would make a second run.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


def check_tracking_uri(uri: str) -> str:
    """`uri` if MLflow can take it: a server or a database; else UserError."""
    try:
        parts = urlsplit(uri)
        server = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        server, parts = False, urlsplit("")
    database = parts.scheme.split("+")[0] in _DATABASES and len(uri) > len(parts.scheme) + len("://")
    if not (server or (database and "://" in uri)):
        raise UserError(
            f"The tracking address {masked(uri)!r} is none that MLflow takes; give http://HOST:PORT or sqlite:////FOLDER/mlflow.db."
        )
    return uri


def masked(text: str) -> str:
    """`text` with the user and password of any address in it hidden, to be printed or kept."""
    return re.sub(r"://[^/@\s]+@", "://***@", text)


class Mirror:
    """The mirror of one study's plan, as its starter sees it: `start`, then `stop`, which waits for it."""

    def __init__(self, storage: str, plan: str, uri: str) -> None:
        self._command = [sys.executable, "-m", "musiclab.study.mirror", storage, plan]
        self._uri, self._shown = uri, masked(uri)
        self._last: dict[str, Any] = {}

    def start(self, say: Any) -> None:
        """Start following; `say` gets one line when MLflow stops answering."""
        root = Path(__file__).parents[2]  # an uninstalled checkout, as `ray job submit --working-dir` sends it
        path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
        # By MLflow's own variable: an address may hold a password, which a command line would show to everybody.
        environment = os.environ | _ENVIRONMENT | {"PYTHONPATH": path, "MLFLOW_TRACKING_URI": self._uri}
        # In a session of its own, so that a Ctrl-C meant for the study does not cut it off in the middle.
        self._process = subprocess.Popen(
            self._command, env=environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(say,), daemon=True)
        self._reader.start()

    def stop(self) -> str:
        """End it after a last round; says where to look, or that MLflow is behind and how it will be brought level."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._reader.join()
        self._process.wait()
        if "links" not in self._last:
            reason = self._last.get("behind", "the mirror ended early")
            return f"MLflow at {self._shown} is behind ({reason}); run the same command again to bring it level."
        mlflow = Path(sys.executable).with_name("mlflow")
        served = f"{mlflow} ui --backend-store-uri {self._shown}\n  then " if self._uri.startswith(_DATABASES) else ""
        return "MLflow: {}the study {}\n  its runs {}\n  the variants compared {}".format(served, *self._last["links"])

    def _read(self, say: Any) -> None:
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):
                before, self._last = self._last, json.loads(line)
                if "behind" in self._last and "behind" not in before:
                    say(
                        f"MLflow at {self._shown} does not answer; the study goes on and MLflow is brought level later."
                    )


class _Runs:
    """A study's runs in MLflow: each found by its tags or made, once."""

    def __init__(self, client: Any, experiment: str, edition: str) -> None:
        self._client, self._experiment, self._edition = client, experiment, edition
        self._ids: dict[tuple[str, str], str] = {}
        self._described: set[str] = set()
        self._steps: dict[str, int] = {}
        self.mirrored: dict[str, str] = {}
        token = None
        while token != "":
            page = client.search_runs(
                [experiment], f"tags.`musiclab.edition` = '{edition}'", max_results=1000, page_token=token
            )
            for run in page:
                tags = run.data.tags
                self._ids[tags["musiclab.role"], tags["musiclab.key"]] = run.info.run_id
                self.mirrored[run.info.run_id] = tags.get("musiclab.mirrored", "")
            token = page.token or ""

    def get(self, role: str, key: str, name: str, parent: str | None, began: float, params: dict[str, Any]) -> str:
        """Id of the run of that role and key; made, with its params, under the run `parent` where there is none."""
        if (role, key) not in self._ids:
            tags = {"musiclab.edition": self._edition, "musiclab.role": role, "musiclab.key": key}
            if parent:
                tags["mlflow.parentRunId"] = parent
            run = self._client.create_run(self._experiment, int(began * 1000), tags, run_name=name[:250])
            self._ids[role, key] = run.info.run_id
            self.mirrored[run.info.run_id] = ""
        run = self._ids[role, key]
        if not self.mirrored[run] and run not in self._described:
            # Also of a run that was found: whoever made it may have been killed before it came to this.
            self._client.log_batch(
                run, params=[_entity("Param", key=k, value=str(v)[:6000]) for k, v in params.items()]
            )
            self._described.add(run)
        return run

    def points(self, run: str, points: list[dict[str, Any]]) -> None:
        """Log points (`name`, `step`, `value`, `time`) in batches; NaN, which says nothing, is left out."""
        metrics = [
            _entity("Metric", key=p["name"], value=p["value"], timestamp=int(p["time"] * 1000), step=p["step"])
            for p in points
            if p["value"] == p["value"]
        ]
        for at in range(0, len(metrics), 1000):
            self._client.log_batch(run, metrics=metrics[at : at + 1000])

    def step(self, run: str, name: str, step: int) -> int:
        """`step`, or the largest that a metric's points have: MLflow takes its point for the value, however old."""
        if run not in self._steps:
            self._steps[run] = max((point.step for point in self._client.get_metric_history(run, name)), default=0)
        self._steps[run] = max(step, self._steps[run])
        return self._steps[run]

    def artifacts(self, run: str, files: dict[str, bytes]) -> None:
        """Put files, named with their folders, into the run's artifacts."""
        with tempfile.TemporaryDirectory() as folder:
            for name, data in files.items():
                target = Path(folder) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            self._client.log_artifacts(run, folder)

    def put_once(self, run: str, what: str, files: dict[str, bytes]) -> None:
        """Put files among the run's artifacts unless they are those that were put last; a tag says which these were."""
        tag, now = f"musiclab.{what}", hashlib.sha256(b"".join(files.values())).hexdigest()
        if self._client.get_run(run).data.tags.get(tag) != now:
            self.artifacts(run, files)
            self._client.set_tag(run, tag, now)

    def end(self, run: str, state: str, ended: float, tags: dict[str, str], mirrored: str) -> None:
        """Close the run; the tag that says it is level comes last."""
        self._client.log_batch(run, tags=[_entity("RunTag", key=k, value=str(v)[:4900]) for k, v in tags.items()])
        self._client.set_terminated(run, state, int(ended * 1000))
        self._client.set_tag(run, "musiclab.mirrored", mirrored)
        self.mirrored[run] = mirrored

    def interrupt(self) -> None:
        """Close the runs that are not level, so that none looks as if it ran; the study's next run makes them so."""
        for run, state in self.mirrored.items():
            if not state:
                self._client.set_terminated(run, "KILLED")


def _params(cell: Cell) -> dict[str, Any]:
    return {SYSTEM: cell.variant.system} | cell.variant.config


def _entity(kind: str, **values: Any) -> Any:
    import mlflow.entities

    return getattr(mlflow.entities, kind)(**values)


class _Follower:
    """Rounds of bringing MLflow level with what the storage holds of one plan."""

    def __init__(self, storage: Storage, plan: str, uri: str) -> None:
        self._storage, self._plan_name, self._uri = storage, plan, uri
        self._records = Records(storage)
        self._found: dict[str, dict[str, Any]] = {}
        self._sent: dict[str, int] = {}
        self._level: set[str] = set()
        self._failed: dict[str, float] = {}
        self._answered, self._rests_until = "", 0.0
        self._runs: _Runs | None = None

    def round(self, last: bool = False) -> list[str]:
        """One round; the links to the study's page, its runs and the comparison. Raises what MLflow raises."""
        try:
            return self._round(last)
        except Exception:
            # What came through before it failed is not known, a run without an answer for one: look again next time.
            self._runs = None
            raise

    def _round(self, last: bool) -> list[str]:
        plan = json.loads(self._storage.read(self._plan_name))
        if self._runs is None:
            self._connect(plan)
        cells = [Cell.from_json(value) for value in plan["cells"]]
        study = self._runs.get("study", plan["edition"], plan["study"], None, plan["began"], plan["base"])
        variants = {}
        for cell in cells:
            if cell.variant.name not in variants:
                # By the key of its first trial: trained by other code, or with another field fixed, it is another one.
                variants[cell.variant.name] = self._runs.get(
                    "variant", cell.key, cell.variant.name, study, plan["began"], _params(cell)
                )
            self._trial(cell, variants[cell.variant.name])
        level = self._state(plan)
        began = time.monotonic()
        # Thousands of resamples a measure are nothing for every round: a tenth of the time goes to them at most.
        if self._answered != level and (last or began >= self._rests_until):
            found = answer(cells, self._found, Terms.of_plan(plan), self._failed)
            self._variants(plan, study, variants, found, level)
            self._answered, self._rests_until = level, began + 10 * (time.monotonic() - began)
        if last:
            self._report(study, plan)
            self._runs.interrupt()
        return self._links(study, variants)

    def _connect(self, plan: dict[str, Any]) -> None:
        from mlflow import MlflowClient

        client, name = MlflowClient(self._uri), f"musiclab/{plan['study']}"
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            # A server keeps artifacts where it was told to; a bare database needs a place, and not in a remote storage:
            # MLflow would need that kind's own client library.
            folder = self._storage.root if self._storage.is_local else cache_folder()
            place = f"{folder}/mlflow-artifacts" if self._uri.startswith(_DATABASES) else None
            self._experiment = client.create_experiment(name, artifact_location=place)
        else:
            self._experiment = experiment.experiment_id
        self._runs = _Runs(client, self._experiment, plan["edition"])

    def _trial(self, cell: Cell, variant: str) -> None:
        key, runs = cell.key, self._runs
        if key in self._level:
            return
        record, failure = self._records.get(key), self._records.failure(key)
        points = self._records.curves(cell.stages)
        if record:
            self._found[key] = record
            self._failed.pop(key, None)
        elif failure:
            self._failed[key] = failure["time"]
        elif not points:
            return  # not begun: no run yet
        cost = self._records.run(key)
        began = cost.get("began", time.time())
        name = f"{cell.variant.name}, block {cell.block.index}"
        params = _params(cell) | {"block": cell.block.index, "seed": cell.block.seed}
        run = runs.get("trial", key, name, variant, began, params)
        state = "finished" if record else "failed" if failure else ""
        if state and runs.mirrored[run] == state:
            if state == "finished":  # what failed may be under way again
                self._level.add(key)
            return
        runs.points(run, points[self._sent.get(key, 0) :])
        self._sent[key] = len(points)
        if state == "finished":
            ended = cost["ended"]
            results = record["measures"] | {f"scale/{name}": value for name, value in record["scale"].items()}
            results["cost/seconds"] = ended - began
            runs.points(run, [{"name": n, "step": 0, "value": v, "time": ended} for n, v in results.items()])
            samples = {f"samples/{name}": data for name, data in self._records.samples(key).items()}
            documents = {name: self._storage.read(f"trials/{key}/{name}") for name in ("record.json", "run.json")}
            split = {"split.json": self._storage.read(f"splits/{record['data']['split']}.json")}
            runs.artifacts(run, samples | documents | split)
            runs.end(run, "FINISHED", ended, {"musiclab.device": cost["device"], "musiclab.host": cost["host"]}, state)
        elif state == "failed":
            runs.artifacts(run, {"failed.txt": failure["traceback"].encode()})
            runs.end(run, "FAILED", failure["time"], {"musiclab.failure": failure["reason"]}, state)

    def _state(self, plan: dict[str, Any]) -> str:
        """What an answer rests on: which trials the plan has and how many are there or failed, and its terms."""
        keys = sorted(cell["stages"][-1][1] for cell in plan["cells"])
        what = content_hash([keys, plan["margin"], plan["sequential"], self._failed], 8)
        return f"{len(self._found)} of the {len(plan['cells'])} trials {what}"

    def _variants(self, plan: dict[str, Any], study: str, variants: dict[str, str], found: Answer, level: str) -> None:
        """The answer: each variant's means and intervals, with the number of finished blocks as the step.

        Of fewer blocks than an answer was that is there already, it takes that one's step and so its place.
        """
        now = time.time()
        for name, run in variants.items():
            blocks = max((interval.n for interval in found.measures[name].values()), default=0)
            state = f"{blocks} blocks, {level}" if name in found.comparisons else f"{blocks} blocks"
            if not blocks or self._runs.mirrored[run] == state:
                continue
            values = {}
            # The objective first: MLflow's compare page opens on the metric that was logged first.
            for measure in sorted(MEASURES, key=lambda measure: measure != found.objective):
                if interval := found.measures[name].get(measure.full_name):
                    values[measure.full_name] = interval.mean
                    values |= {f"{measure.full_name}.low": interval.low, f"{measure.full_name}.high": interval.high}
            if name in found.comparisons:
                compared, objective = found.comparisons[name], found.objective.full_name
                what = "distance_minus_control" if found.objective.better == "real" else "minus_control"
                values[f"{objective}.{what}"] = compared.difference.mean
                values[f"{objective}.p_holm"] = compared.p_holm
                values[f"{objective}.p_equivalent"] = compared.p_equivalent
                better = compared.improvement
                values[f"{objective}.improvement"] = better.mean
                values |= {f"{objective}.improvement.low": better.low, f"{objective}.improvement.high": better.high}
            step = self._runs.step(run, found.objective.full_name, blocks)
            self._runs.points(run, [{"name": n, "step": step, "value": v, "time": now} for n, v in values.items()])
            tags = {"musiclab.comparison": "control" if name == found.controls[name] else "variant"}
            if name in found.comparisons:
                tags["musiclab.verdict"] = verdict(found, name)
            self._runs.end(run, "FINISHED", now, tags, state)
        if self._found and self._runs.mirrored[study] != level:
            question, numbers = plan["question"], table(found)
            words = "\n\n".join(in_words(found))
            text = f"{question}\n\n{numbers}\n\n{words}\n"
            self._runs.artifacts(study, {"answer.txt": text.encode(), "plan.json": json.dumps(plan, indent=1).encode()})
            tags = {"mlflow.note.content": f"{question}\n\n{words}\n\n```\n{numbers}\n```"}
            self._runs.end(study, "FINISHED", now, tags, level)

    def _report(self, study: str, plan: dict[str, Any]) -> None:
        """The report among the study's artifacts, with the files beside it, if it is another one than is there."""
        folder = f"studies/{plan['study']}/{plan['edition']}"
        try:
            files = {name: self._storage.read(f"{folder}/{name}") for name in _REPORT}
        except FileNotFoundError:
            return  # none was written, or not whole
        self._runs.put_once(study, "report", files)

    def _links(self, study: str, variants: dict[str, str]) -> list[str]:
        base = _UI if self._uri.startswith(_DATABASES) else masked(self._uri.rstrip("/"))
        runs, experiments = (quote(json.dumps(ids)) for ids in (list(variants.values()), [self._experiment]))
        compare = f"{base}/#/compare-runs?runs={runs}&experiments={experiments}"
        all_runs = f"{base}/#/experiments/{self._experiment}/runs"
        return [f"{all_runs}/{study}", all_runs, compare]


def main(storage: str, plan: str) -> None:
    """Follow until standard input ends, which it also does when the starter is killed, then do a last round."""
    over = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.buffer.read()
        over.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    follower, was_behind, last = _Follower(Storage(storage), plan, os.environ["MLFLOW_TRACKING_URI"]), False, False
    while not last:
        last = over.wait(_EVERY_S)
        try:
            said = {"links": follower.round(last)}
            was_behind = False
        except Exception as error:  # whatever it is, MLflow is behind and is told on the next round
            said = {"behind": (str(error).splitlines() or [type(error).__name__])[0][:300]}
            if was_behind and not last:
                continue
            was_behind = True
        if last or "behind" in said:
            # Whoever reads may be gone; what counts is in MLflow.
            with contextlib.suppress(OSError):
                print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
