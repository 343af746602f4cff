"""Sync: MLflow brought level with studies that have run, whatever it missed while they did."""

from collections import Counter
from collections.abc import Callable

from musiclab.errors import UserError, printable
from musiclab.progress import Progress
from musiclab.storage.documents import NewerFormat
from musiclab.storage.files import Storage
from musiclab.storage.leases import Lease, LeaseTaken, active_holders
from musiclab.storage.records import Records
from musiclab.tracking.mlflow_runs import why
from musiclab.tracking.reconcile import Reconciler
from musiclab.tracking.uri import default_uri, is_masked, masked, named_uri


def sync_studies(studies: list[tuple[Storage, str]], tracking_uri: str | None) -> int:
    """Bring MLflow level with all editions of the studies, each a storage and a name, and print what that took.

    Into the address given, else that of MLFLOW_TRACKING_URI, else the one with which the study was last run. The exit
    code is 1 where one is not level now; UserError, after all others, where an MLflow does not answer.
    """
    level, failed = True, {}  # by address, which is not asked again
    for storage, name in studies:
        records = Records(storage)
        try:
            plans = records.plans.of_study(name)
        except NewerFormat as newer:
            print(f"{name}: {newer}")
            level = False
            continue
        if not plans:
            print(f"{name}: has no plan that can be read{''.join(f', {file} is damaged' for file in records.damage)}")
            level = False
        for folder, plan in plans.items():
            shown = name if len(plans) == 1 else f"{name}/{plan.edition}"
            uri = named_uri(tracking_uri) or plan.tracking or default_uri(storage)
            if uri not in failed:
                try:
                    level &= _synced(storage, folder, shown, len(plan.trial_specs), uri)
                except NewerFormat as newer:
                    print(f"{shown}: {newer}")
                    level = False
                except UserError as error:
                    failed[uri] = error
    for error in [*failed.values()][1:]:
        print(printable(str(error)))
    if failed:
        raise next(iter(failed.values()))
    return 0 if level else 1


def _synced(storage: Storage, folder: str, name: str, cells: int, uri: str) -> bool:
    """Whether MLflow is level now with the edition in `folder`; says so, or why not."""
    if is_masked(uri):
        raise UserError(
            f"{name} was run with MLflow at {uri}, whose password is not kept; give the address by --tracking-uri or "
            "MLFLOW_TRACKING_URI."
        )
    if runners := active_holders(storage, f"{folder}/runner"):
        print(f"{name}: is being run by {runners[0]}, whose own mirror brings MLflow level", flush=True)
        return False
    try:
        with Lease(storage, f"{folder}/mirror").take(), Progress(f"{name}: trials", cells) as progress:
            follower = Reconciler(storage, folder, uri, _counting(progress))
            _, behind = follower.round(last=True)
    except LeaseTaken as holder:
        print(f"{name}: the mirror of its last run is still bringing MLflow level: {holder}", flush=True)
        return False
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"MLflow at {masked(uri)} cannot be brought level with {name}: {why(error)}; the same command goes on from "
            "there.",
            exit_code=1,
        ) from None
    for file in follower.damage:
        print(f"{name}: {file} is damaged and left out", flush=True)
    print(f"{name}: {_described(follower, behind)} (MLflow at {masked(uri)})", flush=True)
    return not behind


def _counting(progress: Progress) -> Callable[[int, int], None]:
    """What tells `progress` how many trials are level now."""
    before = 0

    def count(level: int, _: int) -> None:
        nonlocal before
        if level > before:
            progress.update(level - before)
        before = level

    return count


def _described(follower: Reconciler, behind: str) -> str:
    told = _told(follower.changes)
    if behind:
        return f"behind: {behind}" + (f"; {told}" if told else "")
    trials, points = len(follower.points), sum(follower.points.values())
    return f"level: {_number(trials, 'trial')}, {_number(points, 'point')}, {told or 'nothing was missing'}"


def _told(changes: Counter[str]) -> str:
    """What MLflow had to be told, in words; empty where it knew all."""
    added = [_number(changes[what], what[:-1]) for what in ("runs", "points", "files") if changes[what]]
    parts = [f"added {', '.join(added)}"] if added else []
    if changes["closed"]:
        parts.append(f"closed {_number(changes['closed'], 'run')} that looked as if running")
    if changes["doubles"]:
        parts.append(f"removed {_number(changes['doubles'], 'run')} that stood there twice")
    return ", ".join(parts)


def _number(times: int, what: str) -> str:
    return f"{times} {what}{'' if times == 1 else 's'}"
