#!/usr/bin/env bash
# uvicorn: with more than one process, or with --reload, each small answer on loopback takes 40 ms
# longer than with one. It then binds a socket of its own, whose protocol is 0. asyncio sets
# TCP_NODELAY only where a connection's protocol is IPPROTO_TCP, and a connection has the protocol of
# the socket that it came by. So the body waits until the other side has said that it has the head,
# which Linux puts off for 40 ms. The same comes to whoever hands asyncio a listening socket that was
# made with the defaults of `socket.socket`.
# Seen with Python 3.11 on Linux. Ends with 1 where it is otherwise now.
# Output: uvicorn 0.49.0: bound by asyncio 2 ms, by uvicorn 44 ms, by uvicorn as TCP 1 ms
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cat > "$work/ask.py" <<'PY'
import http.client
import socket
import statistics
import sys
import threading
import time

import uvicorn


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"here"})


def median_ms(how):
    config = uvicorn.Config(app, host="127.0.0.1", port=0, http="h11", lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    sockets = None
    if how != "asyncio":
        made = config.bind_socket()
        if how == "uvicorn as TCP":
            named = socket.socket(made.family, made.type, socket.IPPROTO_TCP, fileno=made.detach())
            made = named
        sockets = [made]
    thread = threading.Thread(target=server.run, kwargs={"sockets": sockets})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    client = http.client.HTTPConnection("127.0.0.1", port)
    took = []
    for _ in range(40):
        begun = time.perf_counter()
        client.request("GET", "/")
        assert client.getresponse().read() == b"here"
        took.append(time.perf_counter() - begun)
    client.close()
    server.should_exit = True
    thread.join()
    return 1000 * statistics.median(took[10:])


found = {how: median_ms(how) for how in ("asyncio", "uvicorn", "uvicorn as TCP")}
print(f"uvicorn {uvicorn.__version__}: " + ", ".join(
    f"{'bound ' if how == 'asyncio' else ''}by {how} {ms:.0f} ms" for how, ms in found.items()
))
plain, own, named = found.values()
sys.exit(not (own > plain + 30 and named < plain + 15))
PY
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet "uvicorn==0.49.0" "h11==0.16.0"
"$work/env/bin/python" "$work/ask.py"
