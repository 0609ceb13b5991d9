"""What differs between the machines that an image can be for."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from shared.errors import SettingsError

COMMON = (
    "busybox",
    "ca-certificates",
    "dbus",
    "e2fsprogs",
    "initramfs-tools",
    "iproute2",
    "kmod",
    "libstdc++6",
    "polkitd",
    "python3",
    "systemd-boot-efi",
    "systemd-resolved",
    "systemd-sysv",
    "systemd-timesyncd",
    "udev",
    "zstd",
)


@dataclass(frozen=True, slots=True)
class MachineProfile:
    """One kind of machine.

    architecture  as Debian names it
    packages      beyond those that every image has
    modules       of the kernel that the initramfs needs to find the root
    wheels        platform tags that pip may take, the newest first
    loader        the boot loader's file, and where firmware looks for it
    console       the kernel's serial console
    """

    name: str
    architecture: str
    packages: tuple[str, ...]
    modules: tuple[str, ...]
    wheels: tuple[str, ...]
    loader: tuple[str, str]
    console: str


def _glibc(machine: str) -> tuple[str, ...]:
    """Debian 12 has glibc 2.36: it takes wheels for any that is older."""
    return (
        *(f"manylinux_2_{minor}_{machine}" for minor in range(36, 16, -1)),
        f"manylinux2014_{machine}",
    )


_DISKS = (
    "squashfs",
    "overlay",
    "ext4",
    "vfat",
    "nls_cp437",
    "nls_ascii",
    "virtio_pci",
    "virtio_blk",
    "sd_mod",
    "usb_storage",
    "uas",
    "xhci_pci",
    "mmc_block",
    "nvme",
)

PROFILES = {
    profile.name: profile
    for profile in (
        MachineProfile(
            name="x86-64",
            architecture="amd64",
            packages=("linux-image-amd64",),
            modules=(*_DISKS, "ahci", "sdhci_pci", "sdhci_acpi", "ehci_pci"),
            wheels=_glibc("x86_64"),
            loader=("systemd-bootx64.efi", "BOOTX64.EFI"),
            console="ttyS0,115200",
        ),
        MachineProfile(
            name="arm64",
            architecture="arm64",
            packages=("linux-image-arm64",),
            modules=(*_DISKS, "sdhci_iproc", "sdhci_pci", "virtio_mmio"),
            wheels=_glibc("aarch64"),
            loader=("systemd-bootaa64.efi", "BOOTAA64.EFI"),
            console="ttyAMA0,115200",
        ),
    )
}


def profile_named(name: str) -> MachineProfile:
    """Raises SettingsError for one that does not exist."""
    if name not in PROFILES:
        near = difflib.get_close_matches(name, PROFILES, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise SettingsError(
            f'--profile: "{name}" is not one of {", ".join(PROFILES)}{hint}', fix="name one of them"
        )
    return PROFILES[name]
