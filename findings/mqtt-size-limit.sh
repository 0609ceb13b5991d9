#!/usr/bin/env bash
# paho-mqtt and a Mosquitto with `message_size_limit`: one message above the limit, and the client
# never gets anything through again. Mosquitto refuses it with reason code 0x95 (packet too large) in
# a PUBACK, where MQTT 5 has no such code; paho takes the packet for malformed, ends the connection,
# and sends the message again over the next one. CONNACK tells nothing of this limit (it does of
# `max_packet_size`). Seen with Mosquitto 2.0.11 of Debian 12. Ends with 1 where it is otherwise now.
# Output: one message of 9000 B, 6 s: 6 connections, ended by {'Protocol error'},
#   acknowledged [], CONNACK said [ReceiveMaximum : 20, TopicAliasMaximum : 10]
set -euo pipefail
PATH=$PATH:/usr/sbin
command -v mosquitto >/dev/null || { echo "needs mosquitto: apt install mosquitto" >&2; exit 2; }
work=$(mktemp -d); trap 'kill $(cat "$work/pid" 2>/dev/null) 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet paho-mqtt==2.2.0
"$work/venv/bin/pip" list --format=freeze | grep paho; mosquitto -h | head -1 || true
port=$("$work/venv/bin/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listener %s 127.0.0.1\nallow_anonymous true\nuser %s\nmessage_size_limit 8000\n' "$port" "$(id -un)" > "$work/conf"
mosquitto -c "$work/conf" 2>/dev/null & echo $! > "$work/pid"
"$work/venv/bin/python" - "$port" <<'PY'
import sys, time
from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5

connects, ends, acknowledged = [], [], []
client = Client(CallbackAPIVersion.VERSION2, client_id="box", protocol=MQTTv5)
client.reconnect_delay_set(1, 1)
client.on_connect = lambda c, d, f, reason, said: connects.append(str(said))
client.on_disconnect = lambda c, d, f, reason, said: ends.append(str(reason))
client.on_publish = lambda c, d, mid, reason, said: acknowledged.append(str(reason))
for _ in range(50):
    try:
        client.connect("127.0.0.1", int(sys.argv[1]))
        break
    except OSError:
        time.sleep(0.1)
client.loop_start()
while not connects:
    time.sleep(0.05)
client.publish("parts", bytes(9000), qos=1)
time.sleep(6)
print(f"one message of 9000 B, 6 s: {len(connects)} connections, ended by {set(ends)},")
print(f"  acknowledged {acknowledged}, CONNACK said {connects[0]}")
as_seen = len(connects) >= 4 and set(ends) == {"Protocol error"} and not acknowledged
client.disconnect()
client.loop_stop()
sys.exit(0 if as_seen else 1)
PY
