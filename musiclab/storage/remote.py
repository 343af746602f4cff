"""Remote storages, where each call is a request: how one is opened, read and asked, and what its errors mean."""

import os
import re
from urllib.parse import parse_qs, urlsplit

import pyarrow.fs

from musiclab.errors import UserError, one_line

# Pauses in seconds between tries if a server does not answer or is too busy. With the client's own tries, which take
# up to six seconds, that is about a minute.
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
# In pyarrow's reports: what may pass by itself.
_PASSING = re.compile(
    "NETWORK_CONNECTION|SLOW_DOWN|THROTTLING|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|REQUEST_TIMEOUT"
    r"|HTTP status (429|50\d)"
)
_NO_BUCKET = "NO_SUCH_BUCKET"
_REFUSED = re.compile(r"ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|HTTP status (401|403)")


def opened(uri: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """The file system of a URI, and the path in it; UserError if the URI holds a password or names no bucket."""
    split = urlsplit(uri)
    if split.scheme == "s3" and not split.netloc:
        raise UserError(f"--storage must name a bucket, such as s3://bucket/folder; got {uri!r}.")
    if split.password is not None:
        raise UserError(
            "--storage must not hold a password, because reports and pages name it; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY instead."
        )
    if split.scheme == "s3":
        # Servers other than Amazon's often do not know the checksums that the client would add by default.
        os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        if "allow_delayed_open" not in parse_qs(split.query):
            # A file that fits into one request is then written by one instead of three.
            uri += f"{'&' if '?' in uri else '?'}allow_delayed_open=true"
    file_system, path = pyarrow.fs.FileSystem.from_uri(uri)
    return file_system, str(path)


def check(file_system: pyarrow.fs.FileSystem, path: str) -> None:
    """OSError if the storage cannot be looked at, or if an object store has no such bucket."""
    if not _is_object_store(file_system):
        file_system.get_file_info(path)
    elif file_system.get_file_info(path.partition("/")[0]).type == pyarrow.fs.FileType.NotFound:
        raise OSError(_NO_BUCKET)


def read(file_system: pyarrow.fs.FileSystem, path: str) -> bytes:
    """The bytes of a file; FileNotFoundError if there is none.

    An object store is asked for the size and then for the bytes. If the file is replaced by a longer one between the
    two, the end of that one is missing.
    """
    with file_system.open_input_file(path) as file:  # a stream would be read by a request for each quarter of a MiB
        data: bytes = file.read()
    return data


def exists(file_system: pyarrow.fs.FileSystem, path: str) -> bool:
    """Whether there is such a file."""
    if not _is_object_store(file_system):
        return bool(file_system.get_file_info(path).is_file)
    try:
        file_system.open_input_file(path).close()  # asks once; for its information it would look for a folder too
    except FileNotFoundError:
        return False
    return True


def may_pass(error: OSError) -> bool:
    """Whether a later try may succeed: the server does not answer, or is too busy."""
    return bool(_PASSING.search(str(error)))


def reason(error: BaseException, root: str) -> str:
    """Why a storage cannot be used, as the end of a sentence."""
    said = str(error)
    if not root.startswith("s3://"):
        return (said.splitlines() or [type(error).__name__])[0].rstrip(".")
    place, _, query = root.removeprefix("s3://").partition("?")
    if _NO_BUCKET in said:
        return f"there is no bucket {place.partition('/')[0]!r}"
    if "NETWORK_CONNECTION" in said:
        named = parse_qs(query).get("endpoint_override", [os.environ.get("AWS_ENDPOINT_URL", "")])[0]
        return f"no server answers at {named or 'the address of the bucket'}"
    if "TIME_TOO_SKEWED" in said:
        return "the clocks of this machine and of the server differ too much"
    if _REFUSED.search(said):
        return "the server refuses the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
    return one_line(said).rstrip(".")


def _is_object_store(file_system: pyarrow.fs.FileSystem) -> bool:
    return isinstance(file_system, pyarrow.fs.S3FileSystem)
