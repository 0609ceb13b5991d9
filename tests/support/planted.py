"""A password in every place where people write one."""

from __future__ import annotations

PLANTED = "hunter2Xq7"

RTSP = {
    "userinfo": f"rtsp://me:{PLANTED}@127.0.0.1:1/ch1",
    "user alone": f"rtsp://{PLANTED}@127.0.0.1:1/ch1",
    "path": f"rtsp://127.0.0.1:1/{PLANTED}/ch1",
    "named in the path": f"rtsp://127.0.0.1:1/user=admin_password={PLANTED}_channel=1",
    "query": f"rtsp://127.0.0.1:1/ch1?user=admin&password={PLANTED}",
    "query of another name": f"rtsp://127.0.0.1:1/ch1?key={PLANTED}",
    "fragment": f"rtsp://127.0.0.1:1/ch1#{PLANTED}",
    "slash in it": f"rtsp://me:p/{PLANTED}@127.0.0.1:1/ch1",
    "at in it": f"rtsp://me:p@{PLANTED}@127.0.0.1:1/ch1",
    "question mark in it": f"rtsp://me:p?{PLANTED}@127.0.0.1:1/ch1",
    "space in it": f"rtsp://me:p {PLANTED}@127.0.0.1:1/ch1",
    "encoded": f"rtsp://me:%40{PLANTED}@127.0.0.1:1/ch1",
    "no host": f"rtsp://me:{PLANTED}@",
}
DATABASES = {
    "userinfo": f"postgresql+psycopg://me:{PLANTED}@127.0.0.1:1/records",
    "query": f"postgresql+psycopg://127.0.0.1:1/records?user=me&password={PLANTED}",
    "key of the certificate": f"postgresql+psycopg://127.0.0.1:1/records?sslpassword={PLANTED}",
    "unknown option": f"postgresql+psycopg://127.0.0.1:1/records?passwort={PLANTED}",
    "at in it": f"postgresql+psycopg://me:p@{PLANTED}@127.0.0.1:1/records",
    "slash in it": f"postgresql+psycopg://me:p/{PLANTED}@127.0.0.1:1/records",
    "colon in it": f"postgresql+psycopg://me:p:{PLANTED}@127.0.0.1:1/records",
    "no port": f"postgresql+psycopg://me:{PLANTED}@127.0.0.1:x{PLANTED}/records",
}
