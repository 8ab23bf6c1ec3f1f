"""Paths and URLs, such as ``s3://bucket/plate7``: every file system is looked up here, by fsspec."""

from __future__ import annotations

import os
from typing import IO, Any

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from cyto_kedro.errors import ConfigError

#: Bytes fetched beyond what is asked for: fsspec's own 50 MB would fetch a film for each frame.
READ_AHEAD = 1 << 16
#: Extra of this package -> the protocols that it opens.
_EXTRAS = {"s3": ("s3", "s3a")}


def find_place(url: str | os.PathLike[str], **options: Any) -> tuple[AbstractFileSystem, str]:
    """The file system of a path or URL, and the path in it.

    An object store is asked anew each time whether a file is there: another process of the run, whose
    writing this one does not see, may have made it.

    Parameters
    ----------
    url
        A path, or a URL of a protocol that fsspec knows: ``file``, ``memory``, ``s3``, …
    **options
        Of the file system. Credentials come from the usual variables (``AWS_ACCESS_KEY_ID``,
        ``AWS_PROFILE``, ``AWS_ENDPOINT_URL``, …) where they are not among them.

    Raises
    ------
    ConfigError
        If no such protocol is known, or its library is not installed.

    Examples
    --------
    >>> find_place("memory://lab/plate7")[1]
    '/lab/plate7'
    """
    text = os.fspath(url)
    protocol, remote, _ = text.partition("://")
    if remote and protocol not in ("file", "local", "memory"):
        options = {"use_listings_cache": False, **options}
    try:
        fs, path = url_to_fs(text, **options)
    except ImportError as error:
        extra = next((name for name, each in _EXTRAS.items() if protocol in each), None)
        how = f'pip install "cyto_kedro[{extra}]"' if extra else str(error)
        raise ConfigError(f"{text}: {protocol}:// is read by an extra library: {how}") from error
    except ValueError as error:
        raise ConfigError(
            f"{text}: {error}; a path, file://, s3:// or memory:// is meant"
        ) from error
    return fs, path


def open_parts(fs: AbstractFileSystem, path: str) -> IO[bytes]:
    """Open a file of which parts are read: of an object, ranges little longer than asked for."""
    more = {} if isinstance(fs, LocalFileSystem) else {"block_size": READ_AHEAD}
    file: IO[bytes] = fs.open(path, "rb", **more)
    return file
