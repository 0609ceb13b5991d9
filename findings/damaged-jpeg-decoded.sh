#!/usr/bin/env bash
# OpenCV's `imdecode` returns pixels for JPEG files that are damaged in the middle, with
# their end mark intact. What libjpeg warns of goes to standard error of the process, and no caller
# can ask for it; the same files of PNG give None. simplejpeg's strict mode raises each warning.
# Output: OpenCV 5.0.0 simplejpeg 1.9.0
#   JPEG, 256 B of noise   OpenCV: 20 of 20 returned   simplejpeg: 0 of 20
#   PNG, 256 B of noise    OpenCV: 0 of 20 returned
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet opencv-python-headless==5.0.0.93 simplejpeg==1.9.0 numpy==2.3.5
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null
import sys

import cv2
import numpy as np
import simplejpeg

print("OpenCV", cv2.__version__, "simplejpeg 1.9.0")
random = np.random.default_rng(0)
COUNT = 20


def by_opencv(raw: bytes) -> bool:
    return cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_GRAYSCALE) is not None


def by_simplejpeg(raw: bytes) -> bool:
    try:
        simplejpeg.decode_jpeg(raw, colorspace="GRAY", strict=True)
    except ValueError:
        return False
    return True


jpegs, pngs = [], []
for _ in range(COUNT):
    pixels = random.integers(0, 256, (200, 200), dtype=np.uint8)
    jpegs.append(cv2.imencode(".jpg", pixels)[1].tobytes())
    pngs.append(cv2.imencode(".png", pixels)[1].tobytes())
assert all(map(by_opencv, jpegs + pngs)) and all(map(by_simplejpeg, jpegs))
noisy = [raw[: len(raw) // 2] + random.bytes(256) + raw[len(raw) // 2 + 256 :] for raw in jpegs]
marred = [raw[: len(raw) // 2] + random.bytes(256) + raw[len(raw) // 2 + 256 :] for raw in pngs]
found = sum(map(by_opencv, noisy)), sum(map(by_simplejpeg, noisy)), sum(map(by_opencv, marred))
print(f"JPEG, 256 B of noise   OpenCV: {found[0]} of 20 returned   simplejpeg: {found[1]} of 20")
print(f"PNG, 256 B of noise    OpenCV: {found[2]} of 20 returned")
sys.exit(found != (COUNT, 0, 0))
PYTHON
