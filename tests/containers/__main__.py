"""Builds the image, brings the stack up, kills a worker in the middle of a study, and prints the closing table.

What is special about a machine comes from the environment: CONTAINERS_CONF for podman, and the settings that pip and
apt have. Logs and screenshots are in build/containers.
"""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.containers import images, seen
from tests.containers.refusals import check, refusals
from tests.containers.stack import SERVICES, Stack, is_started, volume_folder
from tests.containers.tools import OUT, ROOT, Failed, Table, megabytes, missing_tools, run, tried

# `latent_dim` at small scale: four trials that take long enough to have a middle.
SMALL = ["--blocks", "1"]
SMALL += ["--set", "vae_epochs=10", "--set", "latent_epochs=5", "--set", "max_eval=64", "--set", "starts=8"]
STUDY = "studies/latent_dim.py"
_KILL_WITHIN_S = 600.0


def main() -> int:
    """Run all steps; the exit code."""
    if missing := missing_tools():
        print(f"error: {missing}", file=sys.stderr)
        return 2
    if is_started():
        print("error: A stack of an earlier run must be brought down first: podman-compose -p musiclab-test -f "
              "docker/compose.yaml down --volumes", file=sys.stderr)  # fmt: skip
        return 2
    OUT.mkdir(parents=True, exist_ok=True)
    table = Table()
    try:
        _steps(table)
    except (Failed, AssertionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        (OUT / "table.md").write_text(f"{table}\n")
        print(f"\n{table}\n\nLogs and screenshots: {OUT}")
    return 0


def _steps(table: Table) -> None:
    postgres = _make_images(table)
    with table.step("`--plan`") as said:
        said.append(_plan())
    with table.step("`--plan`, read-only and without capabilities") as said:
        # Of podman's temporary file systems only that which is asked for, as with Docker.
        said.append(_plan("--read-only", "--read-only-tmpfs=false", "--tmpfs=/tmp", "--cap-drop=all"))
    _run_stack(table, postgres)


def _make_images(table: Table) -> str:
    """Make all images; the name of PostgreSQL's."""
    with table.step("base") as said:
        base, what = images.base()
        said.append(f"{what}, {megabytes(base):.0f} MB")
    with table.step("image") as said:
        size = images.build(base, run("git", "rev-parse", "HEAD").strip())
        said.append(f"{size:.0f} MB from a context of {images.context_megabytes():.1f} MB")
    with table.step("PostgreSQL's image") as said:
        postgres, what = images.postgres(base)
        said.append(f"{what}, {megabytes(postgres):.0f} MB")
    return postgres


def _run_stack(table: Table, postgres: str) -> None:
    """Bring the stack up, try all that it is for, and bring it down."""
    stack = Stack.of(images.IMAGE, postgres)
    try:
        with table.step("up") as said:
            stack.up()
            said.append(f"{', '.join(SERVICES)} are healthy")
        with table.step("ports") as said:
            said.append(_ports(stack))
        with table.step("study with `kill -9` of the worker's container") as said:
            log = _study_with_kill(stack, said)
        with table.step("the same job again, from within") as said:
            again = stack.execute(
                "head", "ray", "job", "submit", "--", "python", f"/opt/musiclab/{STUDY}", *SMALL, log="again.log"
            )
            said.append(_matching(again, r"(\d+ of 4 trials done.*)"))
            if "4 of 4 trials done" not in again:
                raise Failed("a finished study must run nothing again")
        with table.step("records beside those of one process") as said:
            said.append(_compare_records(stack))
        with table.step("`musiclab doctor`") as said:
            said.append(stack.execute("head", "musiclab", "doctor", "/data", log="doctor.log").strip().splitlines()[-1])
        with table.step("browser") as said:
            said.append(", ".join(seen.look(stack, _matching(log, r"the variants compared (http\S+)"))))
        with table.step("mistakes") as said:
            mistakes = refusals(stack, images.IMAGE)
            sentences = [f"{each.mistake}: {check(each, stack)}" for each in mistakes]
            (OUT / "mistakes.txt").write_text("\n".join(sentences) + "\n")
            said.append(f"{len(sentences)} sentences")
    finally:
        with table.step("down"):
            stack.down()


def _plan(*options: str) -> str:
    text = run("podman", "run", "--rm", *options, images.IMAGE, "python", STUDY, "--plan")
    return _matching(text, r"(stage vae: .*)")


def _matching(text: str, pattern: str) -> str:
    match = re.search(pattern, text)
    if not match:
        raise Failed(f"{pattern!r} must be in what was printed; got {text[-400:]!r}")
    return match[1]


def _ports(stack: Stack) -> str:
    """Check where ports are published and that nothing answers a stranger."""
    hosts = set()
    for service in SERVICES:
        for bindings in (stack.inspect(service)["HostConfig"]["PortBindings"] or {}).values():
            hosts |= {binding["HostIp"] for binding in bindings}
    if hosts != {"127.0.0.1"}:
        raise Failed(f"ports must be published on 127.0.0.1 alone; got {hosts}")
    experiments = f"{stack.url('MLFLOW_PORT')}/api/2.0/mlflow/experiments/search"
    strangers = {
        "Ray's jobs without the token": (_status(f"{stack.url('RAY_PORT')}/api/jobs/"), 401),
        "MLflow by another name": (
            _status(experiments, "x.test"),
            403,
        ),
        "the pages without the token": (_status(stack.url("PAGES_PORT")), 401),
    }
    for what, (status, expected) in strangers.items():
        if status != expected:
            raise Failed(f"{what} must get {expected}; got {status}")
    return "on 127.0.0.1 alone; " + ", ".join(f"{what}: {status}" for what, (status, _) in strangers.items())


def _status(url: str, host: str = "") -> int:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _study_with_kill(stack: Stack, said: list[str]) -> str:
    """Submit the study from this machine and kill the worker's container in its middle; what the job printed."""
    submit = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--working-dir", "."]
    began, file = time.monotonic(), OUT / "study.log"
    with file.open("w") as log:
        job = subprocess.Popen(
            [*submit, "--", "python", STUDY, *SMALL],
            cwd=ROOT,
            env=stack.submitting,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            epochs = _wait_for_middle(job, volume_folder("storage"))
            os.kill(stack.inspect("worker")["State"]["Pid"], signal.SIGKILL)
            said.append(f"killed after {time.monotonic() - began:.0f} s, {epochs}")
            stack.wait_until_healthy("worker")
            said.append(f"its container was back and healthy after {time.monotonic() - began:.0f} s")
            job.wait()
        finally:
            job.kill()
            job.wait()
    text = file.read_text()
    if job.returncode or "against the control latent_dim=16" not in text:
        raise Failed(f"the study must end with its answer; see {file}")
    retries = text.count("is tried again: ")
    if not retries:
        raise Failed(f"a trial must have been tried again; see {file}")
    said.append(f"{retries} tried again")
    said.append(f"the answer came after {time.monotonic() - began:.0f} s")
    return text


def _wait_for_middle(job: "subprocess.Popen[bytes]", storage: Path) -> str:
    """Wait until trials are training and have kept a checkpoint; what there is then."""
    end = time.monotonic() + _KILL_WITHIN_S
    while time.monotonic() < end and job.poll() is None:
        checkpoints = [*storage.glob("stages/*/checkpoint.safetensors")]
        records = [*storage.glob("trials/*/record.json")]
        if checkpoints and len(records) >= 1:
            return f"with {len(records)} of 4 trials finished and {len(checkpoints)} in training"
        time.sleep(0.2)
    raise Failed("the study must come to its middle before it ends")


def _compare_records(stack: Stack) -> str:
    """Run the study undisturbed in one process in the head's container, and compare the records' bytes."""
    script = (
        f"unset RAY_ADDRESS MLFLOW_TRACKING_URI; python {STUDY} {' '.join(SMALL)} --in-process --storage /tmp/alone && "
        "cd /tmp/alone && for f in trials/*/record.json; do cmp $f /data/$f && echo same; done"
    )
    same = stack.execute("head", "sh", "-c", script, log="alone.log").splitlines().count("same")
    if same != 4:
        raise Failed(f"4 records must be equal; {same} are")
    return "4 records are equal byte for byte"


if __name__ == "__main__":
    code = main()
    tried("podman", "volume", "prune", "--force", "--filter", "label=io.podman.compose.project=musiclab-test")
    sys.exit(code)
