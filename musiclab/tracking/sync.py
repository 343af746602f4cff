"""Sync: brings MLflow up to date with studies that have run, whatever it missed while they did."""

from collections import Counter
from collections.abc import Callable

from musiclab.errors import UserError, printable
from musiclab.progress import Progress
from musiclab.storage.documents import NewerFormat
from musiclab.storage.files import Storage
from musiclab.storage.leases import Lease, LeaseTaken, active_holders
from musiclab.storage.records import Records
from musiclab.tracking.mlflow_runs import ExperimentDeleted
from musiclab.tracking.reasons import why
from musiclab.tracking.reconcile import Reconciler
from musiclab.tracking.uri import database_file, is_masked, masked, uri_of_study
from musiclab.wording import counted


def sync_studies(studies: list[tuple[Storage, str]], tracking_uri: str | None, say: Callable[[str], None]) -> bool:
    """Bring MLflow up to date with all editions of the studies.

    Args:
        studies: storage and name of each.
        tracking_uri: where MLflow is; by default MLFLOW_TRACKING_URI, else the address that the study last used.
        say: gets a line about each edition.

    Returns:
        Whether MLflow is now in sync with all of them.

    Raises:
        UserError: an MLflow does not answer. It is raised after all other studies were synced.
    """
    in_sync = True
    failures: dict[str, UserError] = {}  # by address; one that has failed is not tried again
    for storage, name in studies:
        records = Records(storage)
        try:
            plans = records.plans.of_study(name)
        except NewerFormat as newer:
            say(f"{name}: {newer}")
            in_sync = False
            continue
        if not plans:
            say(f"{name}: no plan can be read{''.join(f', {file} is damaged' for file in records.damage)}")
            in_sync = False
        for folder, plan in plans.items():
            shown_name = name if len(plans) == 1 else f"{name}/{plan.edition}"
            uri = uri_of_study(tracking_uri, plan.tracking, storage)
            if uri not in failures:
                try:
                    in_sync &= _sync_edition(storage, folder, shown_name, len(plan.trial_specs), uri, say)
                except NewerFormat as newer:
                    say(f"{shown_name}: {newer}")
                    in_sync = False
                except UserError as error:
                    failures[uri] = error
    first, *others = failures.values() or [None]
    for failure in others:
        say(printable(str(failure)))
    if first is not None:
        raise first
    return in_sync


def _sync_edition(storage: Storage, folder: str, name: str, trials: int, uri: str, say: Callable[[str], None]) -> bool:
    """Sync the edition in `folder`; whether MLflow is now in sync with it."""
    if is_masked(uri):
        raise UserError(
            f"{name} was run with MLflow at {uri}, and its password was not stored; give the address by --tracking-uri "
            "or MLFLOW_TRACKING_URI."
        )
    database = database_file(uri)
    if database and not database.parent.exists():  # MLflow would make the folder, with an empty database
        raise UserError(
            f"{name}: MLflow at {masked(uri)} is in a folder that does not exist; make it, or give another address by "
            "--tracking-uri or MLFLOW_TRACKING_URI."
        )
    if runners := active_holders(storage, f"{folder}/runner"):
        say(f"{name}: is being run by {runners[0]}; that run keeps MLflow in sync")
        return False
    trials += len(storage.names(f"{folder}/search/proposals"))
    try:
        with Lease(storage, f"{folder}/mirror").take(), Progress(f"{name}: trials", trials) as progress:
            reconciler = Reconciler(storage, folder, uri, _advance(progress))
            _, behind = reconciler.round(last=True)
    except LeaseTaken as holder:
        say(f"{name}: the mirror of its last run is still updating MLflow: {holder}")
        return False
    except ExperimentDeleted as error:  # which keeps no other study from that MLflow
        say(f"{name}: {error}; then run the same command again")
        return False
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"MLflow at {masked(uri)} cannot be brought up to date with {name}: {why(error, uri)}; run the same "
            "command again to continue.",
            exit_code=1,
        ) from None
    for file in reconciler.damage:
        say(f"{name}: {file} is damaged and was left out")
    say(f"{name}: {_described(reconciler, behind)} (MLflow at {masked(uri)})")
    return not behind


def _advance(progress: Progress) -> Callable[[int, int], None]:
    """A callback that shows on `progress` how many trials are in sync."""
    before = 0

    def advance(in_sync: int, _: int) -> None:
        nonlocal before
        if in_sync > before:
            progress.update(in_sync - before)
        before = in_sync

    return advance


def _described(reconciler: Reconciler, behind: str) -> str:
    changes = _described_changes(reconciler.changes)
    if behind:
        return f"behind: {behind}" + (f"; {changes}" if changes else "")
    trials, points = len(reconciler.in_sync), sum(reconciler.sent[key].points for key in reconciler.in_sync)
    return f"in sync: {counted(trials, 'trial')}, {counted(points, 'point')}, {changes or 'nothing was missing'}"


def _described_changes(changes: Counter[str]) -> str:
    """What was changed in MLflow; empty if nothing was."""
    added = [counted(changes[what], what.removesuffix("s")) for what in ("runs", "points", "files") if changes[what]]
    phrases = [f"added {', '.join(added)}"] if added else []
    if changes["closed"]:
        phrases.append(f"closed {counted(changes['closed'], 'run')} still marked as running")
    if changes["doubles"]:
        phrases.append(f"removed {counted(changes['doubles'], 'duplicate run')}")
    return ", ".join(phrases)
