"""How a device fetches from the gateway: pinned authority, own certificate, limits of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import urllib3
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    SlowRetrievalError,
)
from tuf.ngclient import FetcherInterface
from urllib3 import exceptions as wrong

CONNECT_S = 5.0
READ_S = 10.0
TOTAL_S = 60.0
CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class GatewayEndpoint:
    """Where releases come from.

    url   payloads lie below it in `targets`, metadata in `metadata`; https://cloud:8443/releases
    metadata_url   where metadata lies, if payloads come from elsewhere
    ca    the only authority whose servers are believed; None leaves it to the machine's own
    certificate, key   the device's, where the gateway asks for them
    """

    url: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    metadata_url: str = ""

    @property
    def metadata(self) -> str:
        return self.metadata_url or f"{self.url}/metadata"


def open_pool(gateway: GatewayEndpoint) -> urllib3.PoolManager:
    """Connections to the gateway. Certificates are read anew for each connection."""
    return urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_S, read=READ_S),
        retries=urllib3.Retry(connect=2, read=0, redirect=0, status=0, other=0, backoff_factor=0.2),
        cert_reqs="CERT_REQUIRED",
        ca_certs=str(gateway.ca) if gateway.ca else None,
        cert_file=str(gateway.certificate) if gateway.certificate else None,
        key_file=str(gateway.key) if gateway.key else None,
    )


class Fetcher(FetcherInterface):
    """TUF's way to the network. Sizes are limited by the caller, chunk by chunk.

    total_s     for one file: a server that drips a byte now and then never runs into READ_S
    monotonic   seconds on a clock that never jumps
    """

    def __init__(
        self,
        pool: urllib3.PoolManager,
        *,
        total_s: float = TOTAL_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._total_s = total_s
        self._monotonic = monotonic

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """As in TUF, but what is left of an answer is let go at once, and nothing goes to disk."""
        taken = bytearray()
        with closing(self._fetch(url)) as chunks:
            for chunk in chunks:
                taken += chunk
                if len(taken) > max_length:
                    raise DownloadLengthMismatchError(f"{url} is longer than {max_length} B")
        return bytes(taken)

    def _fetch(self, url: str) -> Generator[bytes, None, None]:
        until = self._monotonic() + self._total_s
        try:
            # Packed answers are declined: what arrives is what was signed and counted.
            answer = self._pool.request(
                "GET", url, preload_content=False, headers={"Accept-Encoding": "identity"}
            )
        except wrong.TimeoutError as error:
            raise SlowRetrievalError(f"{url}: {error}") from error
        except wrong.HTTPError as error:
            raise DownloadError(f"{url}: {error}") from error
        if answer.status != 200:
            answer.close()
            raise DownloadHTTPError(f"{url} answered {answer.status}", answer.status)
        return self._chunks(url, answer, until)

    def _chunks(
        self, url: str, answer: urllib3.BaseHTTPResponse, until: float
    ) -> Generator[bytes, None, None]:
        whole = False
        try:
            while chunk := answer.read1(CHUNK, decode_content=False):
                if self._monotonic() > until:
                    raise SlowRetrievalError(f"{url} took more than {self._total_s:g} s")
                yield chunk
            whole = True
        except wrong.TimeoutError as error:
            raise SlowRetrievalError(f"{url}: {error}") from error
        except wrong.HTTPError as error:
            raise DownloadError(f"{url}: {error}") from error
        finally:
            if whole:
                answer.release_conn()
            else:
                # Endless data would be drained before the connection could be used again.
                answer.close()
