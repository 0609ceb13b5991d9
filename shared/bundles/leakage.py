"""What a bundle's features give away, as its manifest keeps it."""

from __future__ import annotations

from pydantic import Field

from shared.certification.promises import PAIR, SHA256
from shared.settings import Settings


class Reconstruction(Settings):
    """Pictures that were made again from what is sent at one coarseness; means over pictures.

    bytes_p50  of the encoded features, median
    psnr       peak signal-to-noise ratio, dB, at most 100
    ssim       structural similarity, 1 for the same picture
    accuracy   of the defect classifier on the reconstructions, 0–1
    auroc      alike; None where the split lacks good or defective pictures
    """

    coarseness: int = Field(ge=1)
    bytes_p50: float = Field(ge=0)
    psnr: float
    ssim: float = Field(ge=-1, le=1)
    accuracy: float = Field(ge=0, le=1)
    auroc: float | None = Field(None, ge=0, le=1)


class Leakage(Settings):
    """How well pictures can be made again from a pair's features.

    pair      the head and codec that it was measured for
    data      name and content hash of the pictures; `trained` of them taught the inverter,
              `tested` others were made again
    epochs    that the inverter learned
    accuracy  of the defect classifier on the true pictures, as in `Reconstruction`
    nothing   what the inverter makes of no features at all: what it knows before
    rates     by coarseness, the finest first
    """

    pair: str = Field(pattern=PAIR)
    measured: str
    data: str
    data_hash: str = Field(pattern=SHA256)
    trained: int = Field(gt=0)
    tested: int = Field(gt=0)
    epochs: int = Field(gt=0)
    accuracy: float = Field(ge=0, le=1)
    auroc: float | None = Field(None, ge=0, le=1)
    nothing: Reconstruction
    rates: list[Reconstruction] = Field(min_length=1)


def describe(leakage: Leakage | None) -> str:
    """One sentence for people."""
    if leakage is None:
        return "not measured; see `splitsight cloud leakage`"
    finest, nothing = leakage.rates[0], leakage.nothing
    told = (
        f"pictures can be made again with a PSNR of {finest.psnr:.1f} dB and an SSIM of "
        f"{finest.ssim:.2f} ({nothing.psnr:.1f} dB and {nothing.ssim:.2f} from nothing)"
    )
    if finest.auroc is not None and leakage.auroc is not None:
        told += (
            f"; the head finds defects in them with AUROC {finest.auroc:.3f} "
            f"({leakage.auroc:.3f} in true pictures)"
        )
    return told
