"""Files made durable together: whole at once, and safe from a power cut a moment later.

A file that was renamed into place outlives the process that wrote it, `kill -9` included; a power cut can take or tear
it until it was synced. That costs milliseconds a file on its own, and hardly more for a thousand together.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from limbeck.errors import StoreFailure

GROUP_SECONDS = 1.0
"""How long a file waits for others at most. Work that takes as long is synced on its own, before anything else."""


class Group:
    """Makes the files that it is told of durable within about `GROUP_SECONDS`, in a thread beside the work.

    On leaving, what is left is synced at once, also on an error or Ctrl-C. `add` and leaving raise `StoreFailure` where
    the disk refused.
    """

    def __init__(self) -> None:
        self._paths: deque[Path] = deque()
        self._failure: StoreFailure | None = None
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Group:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def add(self, path: Path) -> None:
        """A file that was written and is not yet durable."""
        if self._failure is not None:
            raise self._failure
        self._paths.append(path)

    def _work(self) -> None:
        left = False
        while not left and self._failure is None:
            left = self._left.wait(GROUP_SECONDS)
            try:
                sync([self._paths.popleft() for _ in range(len(self._paths))])
            except StoreFailure as error:
                self._failure = error


def sync(paths: Collection[Path]) -> None:
    """Make files and their names durable: one call a file system where there is `syncfs`, else one a file and folder.

    Files that are gone by now are no one's loss. Raises `StoreFailure`.
    """
    folders = {path.parent for path in paths}
    try:
        if whole := _syncfs():
            for folder in _by_disk(folders).values():
                with _opened(folder) as handle:
                    whole(handle)
            return
        for path in (*paths, *folders):
            with suppress(FileNotFoundError), _opened(path) as handle:
                os.fsync(handle)
    except OSError as error:
        raise StoreFailure(
            f"results could not be made safe from a power cut: {error.strerror or error}. They are read back and "
            "checked when the same command runs again; make room or mend the disk first."
        ) from None


def _by_disk(folders: Collection[Path]) -> dict[int, Path]:
    found: dict[int, Path] = {}
    for folder in folders:
        with suppress(FileNotFoundError):
            found[folder.stat().st_dev] = folder
    return found


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


@cache
def _syncfs() -> Callable[[int], Any] | None:
    """The C library's, raising `OSError`; None where it has none (macOS, where `sync` does not wait either)."""
    try:
        call = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError, TypeError):
        return None

    def whole(handle: int) -> None:
        if call(handle):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return whole
