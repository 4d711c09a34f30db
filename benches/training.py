"""Times training steps of `lpips-train bench` beside a peer's, in turn, each as a process of its own.

    python3 benches/training.py --python VENV/bin/python --peer ../shared/bench/peers_train.py --rounds 3

prints a Markdown table: the median of the rounds' times on our side, and of the rounds' ratios (above 1 where ours is faster).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

CASES = [(phase, net, 10 if net == "vgg" else 50) for phase in ["lin", "tune"] for net in ["alex", "squeeze", "vgg"]]


def median_ms(command):
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()
    return json.loads(lines[-1])["median_ms"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", default=os.path.join("target", "release", "lpips-train"))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print("| phase | network | batch | ours | ratio | least and largest |")
    print("| --- | --- | --- | --- | --- | --- |")
    for phase, net, batch in CASES:
        case = ["--net", net, "--phase", phase, "--batch", str(batch), "--threads", str(given.threads)]
        times = []
        for _ in range(given.rounds):
            ours = median_ms([given.ours, "bench", *case])
            times.append((ours, median_ms([given.python, given.peer, *case]) / ours))
        ours = statistics.median(time for time, _ in times)
        ratios = sorted(ratio for _, ratio in times)
        spread = f"{ratios[0]:.1f}, {ratios[-1]:.1f}"
        print(f"| {phase} | {net} | {batch} | {ours:.0f} ms | {statistics.median(ratios):.1f} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
