"""`lpips dirs` over a folder of pairs, beside what `lpips bench` says for the same batch and beside the published package in a loop.

    cargo build --release -p lpips-cli
    pip install torch torchvision lpips safetensors pillow numpy        # in the environment of --python
    python3 benches/bulk.py --python VENV/bin/python [--pairs 2000] [--peer-pairs 100] [--rounds 3]

The pairs are parts of 256x256 pixels of the sample pictures (or of --pictures FOLDER), mirrored and turned, and the same parts with a
little noise, as PNG. Ours are whole processes, from the command to the last row, decoding included. Python's loop is timed without the
start of PyTorch, over --peer-pairs of them, opened one after the other as the published lpips_2dirs.py does. The sides take turns;
`lpips bench` has one before and one after `lpips dirs`, as other work on the machine comes and goes, and their mean counts. The ratios are
medians of the rounds'. Python gets AlexNet's weights from this repository; --no-peer leaves it out.

    python3 benches/bulk.py --python VENV/bin/python --memory

says the peak memory of `lpips dirs` over 200, 2,000 and 20,000 pairs (names that link to the same files).

    python3 benches/bulk.py --python VENV/bin/python --features

says what keeping features brings: one reference against 1,000 candidates beside as many pairs of different pictures, all pairs of 50, 100
and 200 pictures, and the same pairs with --cache, the first time and again.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAKE = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
source, target, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
random = np.random.default_rng(0)
pictures = [np.asarray(Image.open(p).convert("RGB")) for p in sorted(source.glob("*.png"))]
pictures = [p for p in pictures if min(p.shape[:2]) >= 256]
for side in "ab":
    (target / side).mkdir(parents=True)
for i in range(count):
    p = pictures[i % len(pictures)]
    y, x = random.integers(0, p.shape[0] - 255), random.integers(0, p.shape[1] - 255)
    part = p[y:y + 256, x:x + 256]
    part = np.rot90(part[:, ::-1] if i & 1 else part, i // 2 % 4)
    other = np.clip(part + random.normal(0, 4, part.shape), 0, 255).astype(np.uint8)
    Image.fromarray(np.ascontiguousarray(part)).save(target / "a" / f"{i:06}.png")
    Image.fromarray(other).save(target / "b" / f"{i:06}.png")
"""
PEER = """
import sys, time, warnings
warnings.filterwarnings("ignore")
from pathlib import Path
import lpips, numpy as np, torch
from PIL import Image
from safetensors.torch import load_file
torch.set_num_threads(int(sys.argv[4]))
m = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
own = {"features." + k.split(".", 1)[1]: p for k, p in m.net.named_parameters()}
def picture(path):
    return torch.from_numpy(np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
with torch.no_grad():
    for k, v in load_file(sys.argv[2]).items():
        own[k].copy_(v)
    names = sorted(p.name for p in (Path(sys.argv[1]) / "a").iterdir())[:int(sys.argv[3])]
    def distance(name):
        return m(picture(Path(sys.argv[1]) / "a" / name), picture(Path(sys.argv[1]) / "b" / name)).item()
    for name in names[:5]:
        distance(name)
    start = time.perf_counter()
    total = sum(distance(name) for name in names)
    print(len(names) / (time.perf_counter() - start), total / len(names))
"""


def dirs(ours, folder, threads, *more):
    """Seconds of the whole process, and the mean."""
    start = time.perf_counter()
    said = subprocess.run([ours, "dirs", folder / "a", folder / "b", "--threads", str(threads), "--quiet", "--format", "jsonl", *more],
                          check=True, capture_output=True, text=True).stdout
    seconds = time.perf_counter() - start
    distances = [json.loads(line)["distance"] for line in said.splitlines()]
    return seconds, distances


def bench(o):
    """Pairs a second from memory."""
    said = subprocess.run([o.ours, "bench", "--net", "alex", "--size", "256x256", "--batch", str(o.batch or 2 * o.threads),
                           "--threads", str(o.threads), "--seconds", "4", "--json"], check=True, capture_output=True, text=True).stdout
    return json.loads(said)["pairs_per_s"]


def peak(command):
    """Peak memory of a process in MB."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def memory(o, folder):
    for count in (200, 2000, 20000):
        linked = folder / f"linked-{count}"
        for side in "ab":
            (linked / side).mkdir(parents=True)
            names = sorted((folder / side).iterdir())
            for i in range(count):
                os.link(names[i % len(names)], linked / side / f"{i:06}.png")
        pid = os.fork()
        if pid == 0:
            # A process of its own, as the peak is that of all children so far.
            print(f"{count:>6} pairs: {peak([o.ours, 'dirs', linked / 'a', linked / 'b', '--quiet', '--format', 'jsonl']):.0f} MB", flush=True)
            os._exit(0)
        os.waitpid(pid, 0)


def seconds(command):
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def features(o, folder):
    quiet = ["--quiet", "--format", "jsonl", "--threads", str(o.threads)]
    names = sorted(path.name for path in (folder / "a").iterdir())
    lists = {"one reference, 1,000 candidates": lambda name: names[0], "1,000 references and candidates": lambda name: name}
    for what, reference in lists.items():
        pairs = folder / "pairs.csv"
        pairs.write_text("".join(f"{folder}/a/{reference(name)},{folder}/b/{name}\n" for name in names))
        taken = [seconds([o.ours, "list", pairs, *quiet]) for _ in range(o.rounds)]
        print(f"{what}: {len(names) / statistics.median(taken):.0f} pairs/s", flush=True)
    for count in (50, 100, 200):
        some = folder / f"some-{count}"
        some.mkdir()
        for name in names[:count]:
            os.link(folder / "a" / name, some / name)
        taken = statistics.median(seconds([o.ours, "pairs", some, *quiet]) for _ in range(o.rounds))
        pairs = count * (count - 1) // 2
        print(f"all pairs of {count} pictures: {taken:.2f} s, {pairs / taken:.0f} pairs/s, {1e3 * taken / count:.1f} ms a picture", flush=True)
    for net in o.nets.split(","):
        some = [folder / f"cached-{side}" for side in "ab"]
        for side, to in zip("ab", some):
            to.mkdir(exist_ok=True)
            for name in names[:100]:
                if not (to / name).exists():
                    os.link(folder / side / name, to / name)
        taken = []
        for cache in ([], ["--cache", folder / f"kept-{net}"], ["--cache", folder / f"kept-{net}"]):
            taken.append(seconds([o.ours, "dirs", *some, "--net", net, *quiet, *cache]))
        print(f"{net}, 100 pairs: {taken[0]:.2f} s without a cache, {taken[1]:.2f} s filling one, {taken[2]:.2f} s with all of it there", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ours", default=ROOT / "target/release/lpips", type=Path)
    p.add_argument("--python", default="python3")
    p.add_argument("--pictures", default=ROOT / "assets/pictures", type=Path)
    p.add_argument("--pairs", type=int, default=2000)
    p.add_argument("--peer-pairs", type=int, default=100)
    p.add_argument("--no-peer", action="store_true")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--batch", type=int, help="pairs of a batch [default: as many as `lpips dirs` takes at this size, 2 for each thread]")
    p.add_argument("--memory", action="store_true")
    p.add_argument("--features", action="store_true")
    p.add_argument("--nets", default="alex", help="for --features: networks whose weights are on this machine")
    o = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        count = 200 if o.memory else 1000 if o.features else o.pairs
        subprocess.run([o.python, "-c", MAKE, o.pictures, folder, str(count)], check=True)
        if o.memory:
            memory(o, folder)
            return
        if o.features:
            features(o, folder)
            return
        benched, walked, peers = [], [], []
        for _ in range(o.rounds):
            before = bench(o)
            seconds, distances = dirs(o.ours, folder, o.threads)
            benched.append((before + bench(o)) / 2)
            walked.append(len(distances) / seconds)
            if o.no_peer:
                print(f"bench {benched[-1]:.1f}/s   dirs {walked[-1]:.1f}/s   dirs to bench {walked[-1] / benched[-1]:.3f}", flush=True)
                continue
            said = subprocess.run([o.python, "-c", PEER, folder, ROOT / "assets/backbones/alexnet.safetensors", str(o.peer_pairs), str(o.threads)],
                                  check=True, capture_output=True, text=True).stdout.split()
            peers.append(float(said[0]))
            mean = sum(distances[:o.peer_pairs]) / o.peer_pairs
            assert abs(mean - float(said[1])) < 1e-5, (mean, said)
            print(f"bench {benched[-1]:.1f}/s   dirs {walked[-1]:.1f}/s   python {peers[-1]:.1f}/s   "
                  f"dirs to bench {walked[-1] / benched[-1]:.3f}   dirs to python {walked[-1] / peers[-1]:.2f}", flush=True)
        ratio = lambda a, b: statistics.median(x / y for x, y in zip(a, b))
        print(f"median: dirs to bench {ratio(walked, benched):.3f}" + (f", dirs to python {ratio(walked, peers):.2f}" if peers else ""))


main()
