#!/usr/bin/env bash
# paho-mqtt and a host name with a typing mistake (two dots): `loop_start` promises to connect again
# and again, but its thread ends at the first try, with UnicodeError of Python's idna codec where it
# expects OSError. `on_connect_fail` is not called, and `is_connected` says what it says of a broker
# that is away. Any other name that can't be found is tried for ever. Ends with 1 where it is
# otherwise now.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet paho-mqtt==2.2.0
"$work/venv/bin/pip" list --format=freeze | grep paho; python3 --version
"$work/venv/bin/python" - <<'PY'
import sys, threading, time
from paho.mqtt.client import CallbackAPIVersion, Client

def tried(host):
    died, failed = [], []
    threading.excepthook = lambda death: died.append(death.exc_type.__name__)
    client = Client(CallbackAPIVersion.VERSION2)
    client.reconnect_delay_set(1, 1)
    client.on_connect_fail = lambda c, d: failed.append(host)
    client.connect_async(host)
    client.loop_start()
    time.sleep(4)
    print(f"{host}: on_connect_fail {len(failed)} times, thread ended by {died}")
    client.loop_stop() if not died else None
    return died, failed

typed, absent = tried("plant..local"), tried("broker.invalid")
sys.exit(0 if typed == (["UnicodeError"], []) and absent[0] == [] and absent[1] else 1)
PY
