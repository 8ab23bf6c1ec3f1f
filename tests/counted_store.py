"""A store that speaks S3 on this machine (moto), and keeps what it was asked. Not a test."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

SECRET = "not-to-be-told"
BUCKET = "s3://lab"


@dataclass(frozen=True)
class Request:
    """What was asked of one object or, where `key` is empty, of the bucket."""

    method: str
    key: str
    ranged: bool
    sent: int  # bytes, to the store
    got: int


@dataclass
class CountedStore:
    """The requests so far."""

    requests: list[Request] = field(default_factory=list)

    def of(self, method: str, part: str = "") -> list[Request]:
        """Requests of objects whose key has `part`."""
        return [e for e in self.requests if e.method == method and e.key and part in e.key]

    def results(self) -> list[str]:
        """Keys of what was put, but for ledgers, once for each time."""
        return [each.key for each in self.of("PUT") if "/.ledger/" not in each.key]

    def told(self) -> str:
        """How many requests of each kind, and how many MB came and went."""
        lists = sum(each.method == "GET" and not each.key for each in self.requests)
        gets, ranged = self.of("GET"), [each for each in self.of("GET") if each.ranged]
        heads, puts = (sum(e.method == kind for e in self.requests) for kind in ("HEAD", "PUT"))
        got, sent = (sum(getattr(e, of) for e in self.requests) / 1e6 for of in ("got", "sent"))
        return (
            f"{len(self.requests)} requests: {heads} HEAD, {lists} LIST, {len(gets)} GET "
            f"({len(ranged)} by range), {puts} PUT; {got:.1f} MB read, {sent:.1f} MB written"
        )

    def _listen(self, app: Any) -> Any:
        def asked(environ: dict[str, Any], start: Any) -> Any:
            length = [0]

            def started(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
                length[0] = int({k.lower(): v for k, v in headers}.get("content-length", 0))
                return start(status, headers, *more)

            answer = app(environ, started)
            method, (_, _, key) = environ["REQUEST_METHOD"], environ["PATH_INFO"][1:].partition("/")
            sent = int(environ.get("CONTENT_LENGTH") or 0)
            got = length[0] if method == "GET" else 0
            self.requests.append(Request(method, key, "HTTP_RANGE" in environ, sent, got))
            return answer

        return asked


@contextlib.contextmanager
def counted_store() -> Iterator[CountedStore]:
    """`BUCKET` in a store found by the usual variables; gone afterwards."""
    import fsspec
    from moto import server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    store, serving = CountedStore(), running._server
    assert serving is not None
    serving.app = store._listen(serving.app)
    host, port = running.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with mock.patch.dict(os.environ, variables):
        fsspec.filesystem("s3").mkdir(BUCKET)
        yield store
    running.stop()
