"""Metrics for Grafana: promtool takes queries and alerts, and a study on a live Ray gives every query a series."""

import json
import math
import re
import runpy
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml

from musiclab.execution.metrics import STATES
from musiclab.storage.documents import with_checksum
from musiclab.storage.stages import FinishedStage
from musiclab.study.options import design_of, parse_options
from tests.support.kept import empty
from tests.support.prometheus import THERE, Prometheus, promtool, running_prometheus
from tests.support.study_processes import ROOT, Head, Run, run_study
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(not THERE, reason="Debian's packages prometheus and promtool are not installed")

GRAFANA = ROOT / "dashboards" / "grafana"
ALERTS = GRAFANA / "musiclab_alerts.yaml"
DASHBOARD = json.loads((GRAFANA / "musiclab_grafana_dashboard.json").read_text())
QUERIES = {panel["title"]: target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]}
# What Grafana puts in place of its variables.
_VALUES = {"$study": ".+", "$__rate_interval": "1m"}


def _filled(query: str) -> str:
    for variable, value in _VALUES.items():
        query = query.replace(variable, value)
    assert "$" not in query, "a variable that is not known"
    return query


# What can be said without a cluster.


def test_promtool_accepts_every_query_and_refuses_a_broken_one(tmp_path: Path) -> None:
    def checked(queries: list[str]) -> int:
        rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(queries)]
        (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
        return promtool("check", "rules", tmp_path / "rules.yaml").returncode

    queries = [_filled(query) for query in QUERIES.values()]
    assert checked(queries) == 0
    for broken in queries:
        assert checked([*queries, broken.removesuffix(")").replace("}", "", 1)]) == 1


def test_panels_have_their_own_ids_and_places_and_say_what_they_show() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels) == 10
    cells = Counter(
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    )
    assert set(cells.values()) == {1}
    assert max(x for x, _ in cells) == 23  # Grafana's grid has 24 columns
    assert all(panel["description"].endswith(".") for panel in panels)
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource", "study"}


def test_the_link_leads_to_ray_s_own_dashboard() -> None:
    folder = Path(ray.__file__).parent / "dashboard" / "modules" / "metrics" / "dashboards"
    base = (folder / "default_grafana_dashboard_base.json").read_text()
    (uid,) = re.findall(r'"uid": "(\w+)"', base)
    assert [link["url"] for link in DASHBOARD["links"]] == [f"/d/{uid}"]


# Alerts, by promtool's own clock: a scrape a minute.


def _process(states: dict[str, str], worker: str = "first") -> dict[str, str]:
    """The series of a study's process, by state; those that are not named are 0 as long as it lives."""
    labels = f'study="q",SessionName="s",WorkerId="{worker}"'
    length = max(_length(values) for values in states.values())
    values_by_state = dict.fromkeys(STATES, f"0x{length - 1}") | states
    return {f'ray_musiclab_trials{{{labels},state="{state}"}}': values for state, values in values_by_state.items()}


def _length(values: str) -> int:
    """How many samples promtool makes of a notation."""
    return sum(int(part.partition("x")[2]) + 1 for part in values.split())


_EPOCHS = 'ray_musiclab_epochs_total{study="q",WorkerId="w"}'
_AT_WORK = {"waiting": "2x120", "running": "1x120"}
_BEHIND = 'ray_musiclab_mirror_behind_points{study="q"}'
_STALLED, _MIRROR = "MusiclabStudyStalled", "MusiclabMirrorBehind"


@pytest.mark.parametrize(
    ("alert", "series", "minutes"),
    [
        pytest.param(_STALLED, _process(_AT_WORK) | {_EPOCHS: "0+5x120"}, {}, id="epochs are trained"),
        pytest.param(
            _STALLED, _process({"waiting": "120-1x120", "finished": "0+1x120"}), {}, id="trials end without epochs"
        ),
        pytest.param(
            _STALLED, _process(_AT_WORK) | {_EPOCHS: "0+5x20 100x99"}, {40: False, 60: True, 110: True}, id="stuck"
        ),
        pytest.param(_STALLED, _process(_AT_WORK), {30: False, 40: True, 110: True}, id="never began"),
        pytest.param(
            _STALLED,
            _process({"waiting": "2x20", "running": "1x20"}) | {_EPOCHS: "0+5x20 100x99"},
            {40: False, 60: True, 110: False},
            id="its process was killed",
        ),
        pytest.param(
            _STALLED,
            _process({"waiting": "2x20", "running": "1x20"})
            | _process({"waiting": "_x22 2x8 0x2", "finished": "_x22 1x8 3x2"}, "second")
            | {_EPOCHS: "0+5x30 150x89"},
            {},
            id="killed, run again and done",
        ),
        pytest.param(
            _STALLED,
            _process({"waiting": "2x19 0x1", "running": "1x19 0x1", "stopped": "0x19 3x1"})
            | {_EPOCHS: "0+5x20 100x99"},
            {},
            id="stopped",
        ),
        pytest.param(
            _STALLED,
            _process({"waiting": "2x19 0x1", "finished": "0x19 2x1"}) | {_EPOCHS: "0+5x20 100x99"},
            {},
            id="done",
        ),
        pytest.param(_MIRROR, {_BEHIND: "0x120"}, {}, id="in sync"),
        pytest.param(_MIRROR, {_BEHIND: "0 90 80 0 70 60 0 95 90 0x100"}, {}, id="behind now and then"),
        pytest.param(
            _MIRROR, {_BEHIND: "0x9 5+5x60 0x40"}, {20: False, 26: True, 70: True, 90: False}, id="MLflow down"
        ),
    ],
)
def test_an_alert_fires_when_it_should_and_else_never(
    alert: str, series: dict[str, str], minutes: dict[int, bool], tmp_path: Path
) -> None:
    asked = minutes or dict.fromkeys(range(0, 120, 2), False)
    expected = [
        {"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": [_fired(alert)] if fires else []}
        for minute, fires in asked.items()
    ]
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    tests = [{"interval": "1m", "input_series": inputs, "alert_rule_test": expected}]
    file = tmp_path / "tests.yaml"
    file.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def _fired(alert: str) -> dict[str, Any]:
    (rule,) = [rule for rule in yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"] if rule["alert"] == alert]
    words = {name: text.replace("{{ $labels.study }}", "q") for name, text in rule["annotations"].items()}
    return {"exp_labels": {"study": "q"} | rule["labels"], "exp_annotations": words}


# A study on a live Ray, collected by a live Prometheus.

_STUDY = """
from musiclab.study import Grid, Study

study = Study(
    name="measured", system="vae_nn", space={"latent_lr": Grid(0.001, 0.002)}, control={"latent_lr": 0.001},
    blocks=1, objective="frechet",
)

if __name__ == "__main__":
    study.main()
"""


@dataclass(frozen=True)
class Measured:
    """A study that ran on a cluster, and who watched it meanwhile, from `start` to `end`."""

    run: Run
    prometheus: Prometheus
    start: float
    end: float

    def series(self, query: str) -> dict[tuple[tuple[str, str], ...], list[float]]:
        return self.prometheus.series(query, self.start, self.end)

    def last(self, query: str) -> dict[str, float]:
        """The last value of each series, by the value of its only label beside the study's."""
        values = self.series(f'{query.replace("{}", """{study="measured"}""")}')
        return {dict(labels).get("state", ""): found[-1] for labels, found in values.items()}


@pytest.fixture(scope="module")
def measured(
    head: Head, options: list[str], database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Measured]:
    if not head.dashboard:
        pytest.skip("Ray lists its nodes for Prometheus with its dashboard only: pip install 'ray[default]'")
    folder = tmp_path_factory.mktemp("measured")
    storage, file = folder / "storage", folder / "measured.py"
    storage.mkdir()
    empty(storage, database)
    file.write_text(_STUDY)
    asked = [*options, "--gpus-per-trial", "0", "--max-failures", "1"]
    # The two variants share what they train first. What the second trains then counts as done, but is not there.
    _, bad = design_of(runpy.run_path(str(file))["study"], parse_options("?", asked)).trial_specs
    done = storage / "stages" / bad.stages["latent"] / "done"
    done.parent.mkdir(parents=True)
    done.write_bytes(with_checksum(FinishedStage(files={}).to_json()))
    environment = head.environment | {"RAY_ADDRESS": head.address}
    with running_prometheus(head.folder / "prom_metrics_service_discovery.json", ALERTS, folder) as prometheus:
        start = time.time()
        run = run_study(*asked, storage=storage, file=file, code=1, env=environment)
        left = 'sum(ray_musiclab_trials{study="measured",state=~"waiting|running"})'
        found = wait_until(lambda: prometheus.get("query", query=f"{left} == 0")["result"], "the last metrics")
        yield Measured(run, prometheus, start, float(found[0]["value"][0]))


@pytest.mark.slow
@pytest.mark.parametrize("title", QUERIES)
def test_every_query_of_the_dashboard_has_a_series(title: str, measured: Measured) -> None:
    found = measured.series(_filled(QUERIES[title]))
    assert found
    assert all(any(map(math.isfinite, values)) for values in found.values())


@pytest.mark.slow
def test_the_variable_lists_the_study(measured: Measured) -> None:
    (query,) = [each["definition"] for each in DASHBOARD["templating"]["list"] if each["name"] == "study"]
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", query).groups()
    assert "measured" in measured.prometheus.get(f"label/{label}/values", **{"match[]": metric})


@pytest.mark.slow
def test_the_trials_add_up_to_the_plan_s_and_end_as_the_records_say(measured: Measured) -> None:
    (plan,) = measured.run.storage.glob("studies/measured/*/plan.json")
    trials = measured.last("sum by (state) (ray_musiclab_trials{})")
    assert trials == dict.fromkeys(STATES, 0) | {"finished": len(measured.run.records), "failed": 1}
    assert sum(trials.values()) == len(json.loads(plan.read_text())["trials"]) == 2


@pytest.mark.slow
def test_the_epochs_are_those_of_the_curves(measured: Measured) -> None:
    curves = [json.loads(file.read_text()) for file in measured.run.storage.glob("stages/*/curves.json")]
    epochs = sum(max(point["step"] for point in points) for points in curves if points)
    assert measured.last("sum(ray_musiclab_epochs_total{})") == {"": epochs}


@pytest.mark.slow
def test_the_failures_are_counted_and_the_mirror_has_kept_up(measured: Measured) -> None:
    assert measured.run.err.count("is tried again: ") == 1
    assert measured.last("sum(ray_musiclab_failures_total{})") == {"": 2}
    assert measured.last("sum(ray_musiclab_mirror_behind_points{})") == {"": 0}


@pytest.mark.slow
def test_prometheus_evaluates_the_alerts_and_none_fires(measured: Measured) -> None:
    (group,) = measured.prometheus.get("rules")["groups"]
    assert [(rule["name"], rule["health"], rule["state"]) for rule in group["rules"]] == [
        (_STALLED, "ok", "inactive"), (_MIRROR, "ok", "inactive"),
    ]  # fmt: skip
