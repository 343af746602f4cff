"""Checks of a cluster's machines, by what each of them answers: whether a study can run there as it does here."""

from collections.abc import Iterator
from typing import Any

from musiclab.maintenance.doctor.finding import FAIL, OK, WARN, Finding
from musiclab.wording import listing

_AHEAD_S = 60.0  # how far the clocks of two machines may differ


def machines(here: dict[str, str], answers: list[dict[str, Any]], place: str, servers: list[str]) -> Iterator[Finding]:
    """What is amiss on the machines of a cluster.

    Args:
        here: the versions that are installed on this machine, by name.
        answers: what the machines answered, see `survey` of `musiclab.execution.ray_survey`.
        place: the storage that they were asked for; empty if none.
        servers: the tracking servers that they were asked for, `HOST:PORT`.
    """
    heard = [answer for answer in answers if "error" not in answer]
    findings = [
        Finding(FAIL, f"{answer['name']} cannot be asked: {answer['error']}", "look into Ray's logs on that machine")
        for answer in answers
        if "error" in answer
    ]
    findings += [*_versions(here, heard), *_storage(heard, place), *_tracking(heard, servers), *_clocks(heard)]
    yield from findings
    if heard and not findings:
        good = [*(["storage seen"] if place else []), *(f"{server} reached" for server in servers)]
        yield Finding(OK, f"machines asked: {len(heard)}; {', '.join([*good, 'versions and clocks as here'])}")


def _versions(here: dict[str, str], answers: list[dict[str, Any]]) -> Iterator[Finding]:
    for answer in answers:
        others = [
            f"{name} {version} instead of {here[name]}"
            for name, version in answer["versions"].items()
            if version != here[name]
        ]
        if others:
            yield Finding(
                FAIL,
                f"{answer['name']} has {listing(others)}",
                "install the same on all machines, or start them all from one image",
            )


def _storage(answers: list[dict[str, Any]], place: str) -> Iterator[Finding]:
    for answer in answers:
        if answer["storage"]:
            yield Finding(
                FAIL,
                f"{answer['name']} cannot use {place}: {answer['storage']}",
                "name a storage that all machines see and may write to: a shared folder at the same path, or s3://...",
            )


def _tracking(answers: list[dict[str, Any]], servers: list[str]) -> Iterator[Finding]:
    for number, server in enumerate(servers):
        failures = {answer["name"]: answer["addresses"][number] for answer in answers if answer["addresses"][number]}
        if failures:
            reason = next(iter(failures.values()))
            yield Finding(
                WARN,
                f"MLflow at {server} cannot be reached from {listing([*failures])} ({reason}); a study whose driver "
                "runs there is not shown until `musiclab sync` runs where it can be reached",
                "name it by an address that is the same everywhere, which localhost is not, and let it listen there",
            )


def _clocks(answers: list[dict[str, Any]]) -> Iterator[Finding]:
    for answer in answers:
        if abs(answer["ahead"]) > _AHEAD_S:
            direction = "ahead of" if answer["ahead"] > 0 else "behind"
            yield Finding(
                WARN,
                f"the clock of {answer['name']} is {abs(answer['ahead']):,.0f} s {direction} this one",
                "set the clocks of all machines (timedatectl set-ntp true); results do not depend on them, but shown "
                "times do, and S3 refuses requests of a clock that is 15 minutes off",
            )
