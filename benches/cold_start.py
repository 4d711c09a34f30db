"""One small comparison as a whole process, ours beside the published package's: wall time and peak memory.

    cargo build --release -p lpips-cli
    pip install torch torchvision lpips safetensors pillow        # in the environment of --python
    python3 benches/cold_start.py --python VENV/bin/python [--rounds 9]

The two alternate, and the ratio is the median of the rounds' ratios. Python gets AlexNet's weights from this repository,
so that neither side downloads anything.
"""
import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEER = """
import sys, warnings
warnings.filterwarnings("ignore")
import lpips, numpy as np, torch
from PIL import Image
from safetensors.torch import load_file
m = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
own = {"features." + k.split(".", 1)[1]: p for k, p in m.net.named_parameters()}
with torch.no_grad():
    for k, v in load_file(sys.argv[3]).items():
        own[k].copy_(v)
    x, y = [torch.from_numpy(np.array(Image.open(p).convert("RGB")).astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
            for p in sys.argv[1:3]]
    print(f"{m(x, y).item():.5f}")
"""


def run(command):
    """Seconds, peak MB and what was printed."""
    start = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, out
    return time.perf_counter() - start, usage.ru_maxrss / 1024, out.split()[0]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=ROOT / "target/release/lpips")
    p.add_argument("--python", required=True)
    p.add_argument("--rounds", type=int, default=9)
    o = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        crop = ("import sys; from PIL import Image; "
                "[Image.open(a).convert('RGB').crop((150, 90, 214, 154)).save(b) for a, b in zip(sys.argv[1::2], sys.argv[2::2])]")
        a, b = Path(folder) / "a.png", Path(folder) / "b.png"
        pictures = ROOT / "assets/pictures"
        run([o.python, "-c", crop + "; print('ok')", pictures / "lake.png", a, pictures / "lake_jpeg.png", b])
        weights = ROOT / "assets/backbones/alexnet.safetensors"
        ours, theirs = [], []
        for _ in range(o.rounds):
            ours.append(run([o.ours, "compare", a, b]))
            theirs.append(run([o.python, "-c", PEER, a, b, weights]))
    assert ours[0][2] == theirs[0][2], (ours[0], theirs[0])
    for name, rows in (("lpips compare", ours), ("Python", theirs)):
        seconds, megabytes = (statistics.median(row[i] for row in rows) for i in (0, 1))
        print(f"{name:<14} {rows[0][2]}  {seconds:6.3f} s  {megabytes:5.0f} MB")
    for i, what in enumerate(("time", "memory")):
        print(f"ratio of {what}: {statistics.median(t[i] / u[i] for t, u in zip(theirs, ours)):.0f}")


if __name__ == "__main__":
    main()
