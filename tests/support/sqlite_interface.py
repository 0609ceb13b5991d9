"""The parts of SQLite's C interface that recording needs: its virtual file system, by ctypes.

Source: SQLite, "The OS Interface or VFS" and sqlite3.h (sqlite3_vfs, sqlite3_io_methods).
"""

from __future__ import annotations

import _sqlite3
import ctypes
import sqlite3

from shared.errors import ProcessError

_Pointer = ctypes.c_void_p
_Int64 = ctypes.c_int64
_int = ctypes.c_int

OPEN = ctypes.CFUNCTYPE(_int, _Pointer, _Pointer, _Pointer, _int, _Pointer)
DELETE = ctypes.CFUNCTYPE(_int, _Pointer, ctypes.c_char_p, _int)
CLOSE = ctypes.CFUNCTYPE(_int, _Pointer)
WRITE = ctypes.CFUNCTYPE(_int, _Pointer, _Pointer, _int, _Int64)
TRUNCATE = ctypes.CFUNCTYPE(_int, _Pointer, _Int64)
SYNC = ctypes.CFUNCTYPE(_int, _Pointer, _int)


class Vfs(ctypes.Structure):
    _fields_ = (
        ("version", _int),
        ("file_bytes", _int),
        ("path_bytes", _int),
        ("next", _Pointer),
        ("name", ctypes.c_char_p),
        ("data", _Pointer),
        ("open", OPEN),
        ("delete", DELETE),
        # Access to the current time, then version 2 and 3: used as they are.
        ("others", _Pointer * 14),
    )


class Methods(ctypes.Structure):
    _fields_ = (
        ("version", _int),
        ("close", CLOSE),
        ("read", _Pointer),
        ("write", WRITE),
        ("truncate", TRUNCATE),
        ("sync", SYNC),
        # From the file's size to version 3's mapped pages: used as they are.
        ("others", _Pointer * 13),
    )


class File(ctypes.Structure):
    _fields_ = (("methods", ctypes.POINTER(Methods)),)


def sqlite_library() -> ctypes.CDLL:
    """The SQLite that Python's `sqlite3` calls: symbols are looked up through its own module.

    Raises ProcessError where that does not lead to one, as in a Python with SQLite built in.
    """
    path: str | None = getattr(_sqlite3, "__file__", None)
    library = ctypes.CDLL(path)
    try:
        library.sqlite3_libversion.restype = ctypes.c_char_p
        found = library.sqlite3_libversion().decode()
        library.sqlite3_vfs_find.restype = _Pointer
        library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
    except AttributeError as error:
        raise ProcessError(
            "this Python hides the SQLite inside it, so that it can't be recorded",
            fix="use a Python that is linked to the system's libsqlite3",
        ) from error
    if found != sqlite3.sqlite_version:
        raise ProcessError(
            f"SQLite {found} was found, Python uses {sqlite3.sqlite_version}",
            fix="use a Python that is linked to one SQLite only",
        )
    return library
