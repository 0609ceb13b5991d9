"""Journals as earlier versions left them on disk."""

from __future__ import annotations

from tests.system.deployed import FOLDER

# Of version 0.1.0, killed while it ran: unsent inspections, an open escalation, two labels.
DEPLOYED = FOLDER / "journal.sqlite"
# Before there were labels.
FIRST = """
CREATE TABLE inspections (
    id INTEGER PRIMARY KEY,
    boot TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    part INTEGER NOT NULL,
    decision TEXT NOT NULL,
    verdict TEXT,
    decided_by TEXT,
    score REAL NOT NULL,
    inspected_at REAL NOT NULL,
    edge_ms REAL NOT NULL,
    total_ms REAL,
    escalated_bytes INTEGER NOT NULL,
    frame_bytes INTEGER NOT NULL,
    source TEXT NOT NULL,
    bundle TEXT NOT NULL,
    cloud_score REAL,
    late_verdict TEXT,
    late_score REAL,
    acknowledged INTEGER NOT NULL DEFAULT 0,
    UNIQUE (boot, sequence)
);
CREATE TABLE frames (
    id INTEGER PRIMARY KEY,
    bytes INTEGER NOT NULL,
    picture BLOB NOT NULL
);
PRAGMA user_version = 1;
"""
# How those versions write an inspection.
INSERT = (
    "INSERT INTO inspections (id, boot, sequence, part, decision, verdict, decided_by, score, "
    "inspected_at, edge_ms, total_ms, escalated_bytes, frame_bytes, source, bundle) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
