"""What `musiclab listen` does: serve a test, say what it would ask, write it as a file, take in what was saved."""

from collections.abc import Callable
from pathlib import Path

from musiclab.analysis.results import Results
from musiclab.dashboards.address import Address
from musiclab.dashboards.listening_test.app import listen
from musiclab.dashboards.listening_test.described import described
from musiclab.dashboards.listening_test.fixed import FixedTest, fixed, planned
from musiclab.dashboards.listening_test.imported import import_file
from musiclab.dashboards.listening_test.offline import offline_page
from musiclab.dashboards.listening_test.sounds import Sounds
from musiclab.errors import UserError, one_line
from musiclab.storage.ballots import Ballots, listening_folder
from musiclab.storage.files import Storage
from musiclab.wording import counted, listing

Tell = Callable[[str], None]


def serve(storage: Storage, study: str, protocol: str, address: Address, tell: Tell) -> None:
    """Serve the listening test of a study until Ctrl-C.

    Raises:
        UserError: if there is no such study, too little to be heard, or nothing can listen at the address.
    """
    test = _test(storage, study, protocol, tell)
    listen(test, address, tell)


def plan(storage: Storage, study: str, protocol: str, tell: Tell) -> None:
    """Say what a listening test asks, without fixing it; of one that is fixed, how far it has come.

    Raises:
        UserError: if there is no such study, or too little to be heard.
    """
    results = Results.read(storage, study)
    ballots = Ballots(storage, listening_folder(results.folder, protocol))
    kept = ballots.plan()
    test = kept.test if kept else planned(results, protocol)
    for line in described(test):
        tell(line)
    if kept:
        answered = sum(len(session.ballots) for session in ballots.sessions())
        tell(f"fixed: {counted(len(ballots.sessions()), 'session')} so far, with {counted(answered, 'answer')}")


def write(storage: Storage, study: str, protocol: str, file: Path, tell: Tell) -> None:
    """Write the test as one HTML file.

    Raises:
        UserError: as `serve`, or if the file cannot be written.
    """
    test = _test(storage, study, protocol, tell)
    try:
        file.open("a").close()  # before the sounds are made, which takes a while
    except OSError as error:
        raise UserError(f"--offline {str(file)!r} cannot be written: {error.strerror or error}.") from None
    sounds = Sounds(test)
    sounds.start()
    page = offline_page(test, sounds)
    file.write_text(page, encoding="utf-8")
    tell(f"{file}: {len(page) / 1e6:.1f} MB. Whoever opens it in a browser can save answers, for --import.")


def take_in(storage: Storage, study: str, protocol: str, files: list[Path], tell: Tell) -> None:
    """Take in the answers that offline files saved, each once.

    Raises:
        UserError: if a file cannot be taken in; those before and after it are, all the same.
    """
    test = _test(storage, study, protocol, tell)
    refusals = []
    for file in files:
        try:
            tell(f"{file}: {import_file(test, file)}")
        except UserError as error:
            refusals.append(f"{file}: {one_line(str(error))}")
    if refusals:
        raise UserError(" ".join(refusals))


def _test(storage: Storage, study: str, protocol: str, tell: Tell) -> FixedTest:
    test = fixed(storage, study, protocol)
    if test.left_out:
        tell(f"Without {listing(test.left_out)}: no sample was there when the test was fixed.")
    return test
