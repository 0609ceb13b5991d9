"""Payloads from the one before: zstd with the old payload as dictionary (`zstd --patch-from`)."""

from __future__ import annotations

from collections.abc import Iterator

import zstandard

from shared.errors import UpdateError

PIECE = 1 << 20
# A window as long as the base; zstd itself can't go further on 64 bits.
LARGEST_WINDOW = 1 << 31


def apply_patch(base: bytes, patch: bytes, length: int) -> Iterator[bytes]:
    """The new payload in pieces, `length` bytes at most.

    Raises UpdateError where the patch is damaged or makes more than that.
    """
    dictionary = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    unpacker = zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=LARGEST_WINDOW)
    made = 0
    try:
        for piece in unpacker.read_to_iter(patch, write_size=PIECE):
            made += len(piece)
            if made > length:
                raise UpdateError("the patch makes too much", fix="it is fetched whole")
            yield piece
    except zstandard.ZstdError as error:
        raise UpdateError(f"the patch is damaged ({error})", fix="it is fetched whole") from error
