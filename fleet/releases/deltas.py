"""Patches from one payload to the next, as `zstd --patch-from` makes them."""

from __future__ import annotations

from pathlib import Path

import zstandard

LEVEL = 19
LARGEST = 1 << 30
"""Bytes of old and new payload together: a device holds both while it patches."""
WORTH = 0.9
"""A patch that saves less than a tenth costs a device more than it spares the line."""


def make_delta(base: Path, new: Path) -> bytes | None:
    """What turns `base` into `new`; None where that saves too little."""
    if base.stat().st_size + new.stat().st_size > LARGEST:
        return None
    old, payload = base.read_bytes(), new.read_bytes()
    dictionary = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL,
        # A match may lie anywhere in the old payload, which comes before the new one.
        window_log=max(zstandard.WINDOWLOG_MIN, (len(old) + len(payload)).bit_length()),
        enable_ldm=True,
    )
    packer = zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters)
    delta = packer.compress(payload)
    return delta if len(delta) < WORTH * len(payload) else None
