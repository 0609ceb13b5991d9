"""What leaves a network namespace: `python -m tests.support.outgoing INTERFACE` at its far end.

A line for each packet that is for somebody else: who was meant, and what name was looked up.
"""

from __future__ import annotations

import ipaddress
import socket
import sys

EVERYTHING = 0x0003  # ETH_P_ALL
IPV4, IPV6 = 0x0800, 0x86DD
UDP, ICMPV6, HOP_BY_HOP = 17, 58, 0
DNS = 53


def described(frame: bytes) -> str | None:
    """An Ethernet frame in words; None for what kernels tell their neighbours by themselves."""
    kind, packet = int.from_bytes(frame[12:14], "big"), frame[14:]
    if kind == IPV4:
        header, protocol = 4 * (packet[0] & 0xF), packet[9]
        target: object = ipaddress.IPv4Address(packet[16:20])
    elif kind == IPV6 and packet[6] not in {ICMPV6, HOP_BY_HOP}:
        header, protocol = 40, packet[6]
        target = ipaddress.IPv6Address(packet[24:40])
    else:
        return None
    port = int.from_bytes(packet[header + 2 : header + 4], "big")
    if protocol == UDP and port == DNS:
        return f"looked up {name_asked(packet[header + 8 :])}"
    return f"protocol {protocol} to {target}, port {port}"


def name_asked(query: bytes) -> str:
    """The name in a DNS query (RFC 1035, section 4.1.2)."""
    labels, place = [], 12
    while place < len(query) and query[place]:
        labels.append(query[place + 1 : place + 1 + query[place]].decode(errors="replace"))
        place += 1 + query[place]
    return ".".join(labels)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(interface: str) -> None:
    """Print `ready`, then what comes; until it is killed."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERYTHING)) as listening:
        listening.bind((interface, 0))
        say("ready")
        while True:
            frame, address = listening.recvfrom(65535)
            told = described(frame) if address[2] == socket.PACKET_HOST else None
            if told is not None:
                say(told)


if __name__ == "__main__":
    main(sys.argv[1])
