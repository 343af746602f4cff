"""Debian's Prometheus: a server on the loopback that scrapes a Ray head, and promtool, which checks rules."""

import json
import math
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.study_processes import answers, end, free_port
from tests.support.waiting import wait_until

THERE = shutil.which("prometheus") is not None and shutil.which("promtool") is not None


@dataclass(frozen=True)
class Prometheus:
    """A server that scrapes every second."""

    url: str

    def series(self, query: str, start: float, end: float) -> dict[tuple[tuple[str, str], ...], list[float]]:
        """What a query gave at `end` and in each second before it, back to `start`, by the labels of its series."""
        # Counted from the end: a last scrape may have come less than a second before it.
        first = end - math.floor(end - start)
        result = self.get("query_range", query=query, start=first, end=end, step=1)["result"]
        return {tuple(sorted(each["metric"].items())): [float(value) for _, value in each["values"]] for each in result}

    def get(self, call: str, **parameters: Any) -> Any:
        """What a call of the API returns."""
        with urllib.request.urlopen(f"{self.url}/api/v1/{call}?{urllib.parse.urlencode(parameters)}") as response:
            return json.load(response)["data"]


@contextmanager
def running_prometheus(discovery: Path, rules: Path, folder: Path) -> Iterator[Prometheus]:
    """A server that finds Ray's nodes in Ray's own file, and asks them by the loopback, because all are here."""
    loopback = {
        "source_labels": ["__address__"], "regex": r".*:(\d+)", "target_label": "__address__",
        "replacement": "127.0.0.1:$1",
    }  # fmt: skip
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": "ray", "file_sd_configs": [{"files": [str(discovery)]}], "relabel_configs": [loopback]}
        ],
    }
    file, url = folder / "prometheus.yml", f"127.0.0.1:{free_port()}"
    file.write_text(json.dumps(config))  # which is YAML too
    command = [
        "prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={url}",
        "--log.level=warn",
    ]  # fmt: skip
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until(lambda: answers(f"http://{url}/-/ready"), "Prometheus", (folder / "prometheus.log").read_text)
        yield Prometheus(f"http://{url}")
    finally:
        end(process)


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess:
    """What promtool says."""
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True)
