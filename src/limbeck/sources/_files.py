"""Published files: where they may lie, how to get them, and whether they are the genuine ones."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import os
import tarfile
import urllib.request
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from limbeck.errors import CorruptFile, MissingData
from limbeck.store import write_bytes

LARGEST = 1 << 30  # no published file here unpacks to more; a hostile one must not fill the memory
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Published:
    """A data set as its authors published it.

    `sums` has the SHA-256 of each file's content, unpacked; `address` is a web folder with the files (gzipped where
    `packed` says so), or with one `archive` that holds them, whose own SHA-256 is `archive_sum`.
    """

    name: str
    sums: Mapping[str, str]
    address: str
    advice: str
    system: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()
    packed: bool = False
    archive: str = ""
    archive_sum: str = ""

    def contents(self, folder: str = "", download: bool = False) -> tuple[dict[str, bytes], bool]:
        """The unpacked content of every file, and whether all are the genuine ones.

        Looks in `folder` alone if one is given, else in the places of system packages, then in the data folder.
        Raises `MissingData` with where it looked and how to get them; `CorruptFile` where a file of the data folder or
        the system is not the genuine one. In a folder of the user's own, other files of the same format are read too.
        """
        places = self._places(folder)
        found = next((place for place in places if self._is_in(place)), None)
        if found is None and download:
            found = self._fetch(Path(folder).expanduser() if folder else data_folder() / self.name)
        if found is None:
            wanted = ", ".join(self.sums) + (f" or {self.archive}" if self.archive else "")
            looked = ", ".join(str(place) for place in places)
            raise MissingData(f"{self.name} was not found. Looked for {wanted} in {looked}. {self.advice}")
        held = self._read(found)
        changed = [name for name, content in held.items() if hashlib.sha256(content).hexdigest() != self.sums[name]]
        if changed and not folder:
            raise CorruptFile(
                f"{found / changed[0]} is not the published file (its SHA-256 differs). Delete it and get it again; "
                f"or read files of your own with folder={found}."
            )
        return held, not changed

    def _places(self, folder: str) -> list[Path]:
        roots = [Path(folder).expanduser()] if folder else [*map(Path, self.system), data_folder() / self.name]
        return [root / inner if inner else root for root in roots for inner in ("", *self.nested)]

    def _is_in(self, place: Path) -> bool:
        archive = bool(self.archive) and (place / self.archive).is_file()
        return archive or all(_present(place, name) for name in self.sums)

    def _read(self, place: Path) -> dict[str, bytes]:
        held = {name: _unpacked(path) for name in self.sums if (path := _present(place, name))}
        if len(held) == len(self.sums):
            return held
        return _members(_bytes(place / self.archive), set(self.sums), str(place / self.archive))

    def _fetch(self, target: Path) -> Path:
        if self.archive:
            content = fetch(self.address + self.archive, self.archive_sum)
            for name, inner in _members(content, set(self.sums), self.archive).items():
                write_bytes(target / name, inner)
            return target
        for name, expected in self.sums.items():
            content = fetch(self.address + name + (".gz" if self.packed else ""))
            plain = _gunzipped(content, name) if self.packed else content
            if hashlib.sha256(plain).hexdigest() != expected:
                raise CorruptFile(f"{self.address}{name} sent something else (its SHA-256 differs). {self.advice}")
            write_bytes(target / name, plain)
        return target


def data_folder() -> Path:
    """Where data sets lie: the environment's LIMBECK_DATA, else the user's cache."""
    if own := os.environ.get("LIMBECK_DATA"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "limbeck"


def fetch(address: str, sha256: str = "") -> bytes:
    """Download a file; only called where the user asked for it. Raises `MissingData`, or `CorruptFile` by SHA-256."""
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE_SECONDS) as answer:
            content: bytes = answer.read(LARGEST)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise MissingData(
            f"{address} could not be downloaded ({error}). Try again, or get the file yourself and give its folder=."
        ) from None
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise CorruptFile(f"{address} sent something else (its SHA-256 differs). Try again; nothing was kept.")
    return content


def _present(place: Path, name: str) -> Path | None:
    """The file, plain or gzipped."""
    return next((path for path in (place / name, place / f"{name}.gz") if path.is_file()), None)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MissingData(f"{path} can't be read: {error.strerror or error}. Check its permissions.") from None


def _unpacked(path: Path) -> bytes:
    return _gunzipped(_bytes(path), str(path)) if path.suffix == ".gz" else _bytes(path)


def _gunzipped(content: bytes, name: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            plain = file.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise CorruptFile(f"{name} is no whole gzip file ({error}). Get it again.") from None
    if len(plain) > LARGEST:
        raise CorruptFile(f"{name} unpacks to more than {LARGEST >> 30} GiB; no such file is known. Get it again.")
    return plain


def _members(content: bytes, wanted: set[str], name: str) -> dict[str, bytes]:
    """The wanted files of a .tar.gz, by their own names; no path in the archive is ever followed."""
    held: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            for member in archive:
                inner = member.name.rsplit("/", 1)[-1]
                if member.isfile() and inner in wanted and (file := archive.extractfile(member)) is not None:
                    held[inner] = file.read(LARGEST)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise CorruptFile(f"{name} is no whole archive ({error}). Get it again.") from None
    if missing := wanted - held.keys():
        raise CorruptFile(f"{name} lacks {', '.join(sorted(missing))}. Get it again.")
    return held
