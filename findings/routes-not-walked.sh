#!/usr/bin/env bash
# FastAPI: what walks `app.routes` for APIRoute meets none of an included router's routes, though they
# are served. So a test that "every route asks who calls" passes by looking at nothing. 0.120 lists
# them; 0.138 has them behind a private object, and `fastapi.routing.iter_route_contexts` lists them.
# Seen with Python 3.11. Ends with 1 where it is otherwise now.
# Output: fastapi 0.138.2: served ['/parts/{part}'], met by walking []
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cat > "$work/walk.py" <<'PY'
import sys

from fastapi import APIRouter, FastAPI, __version__
from fastapi.routing import APIRoute

router = APIRouter(prefix="/parts")


@router.delete("/{part}")
def delete(part: int) -> int:
    return part


app = FastAPI()
app.include_router(router)
walked = [route.path for route in app.routes if isinstance(route, APIRoute)]
print(f"fastapi {__version__}: served {sorted(app.openapi()['paths'])}, met by walking {walked}")
sys.exit(walked != {"0.120.0": ["/parts/{part}"], "0.138.2": []}[__version__])
PY
for version in 0.120.0 0.138.2; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet "fastapi==$version"
    "$work/$version/bin/python" "$work/walk.py"
done
