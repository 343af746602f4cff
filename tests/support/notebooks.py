"""Notebooks, executed in a real kernel."""

import tempfile
from typing import Any

from tests.support.waiting import STILL_S


def execute(notebook: Any, **options: Any) -> None:
    """Execute the cells; `options` are nbclient's.

    The kernel is reached by sockets in a folder: it binds its ports long after they were found to be free.
    """
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    with tempfile.TemporaryDirectory(prefix="kernel-") as folder:  # short, as paths of sockets must be
        manager = AsyncKernelManager(kernel_name="python3", transport="ipc", connection_file=f"{folder}/kernel.json")
        patience = {"timeout": None, "startup_timeout": int(STILL_S), "iopub_timeout": int(STILL_S)}
        NotebookClient(notebook, km=manager, **patience, **options).execute()
