"""A training's files, as others read them.

    python3 published_package.py LPIPS RUN REFERENCE.png CANDIDATE.png...

loads RUN/model.safetensors into the published `lpips` package and sets its distances beside those of the binary LPIPS, and reads
RUN/events with the tensorboard package beside RUN/log.jsonl. Needs torch, torchvision, lpips 0.1.4, tensorboard, safetensors,
numpy and Pillow, and LPIPS_WEIGHTS_DIR for the networks' own weights.
"""

import json
import os
import subprocess
import sys

import lpips
import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

BACKBONES = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}


def picture(path):
    values = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 127.5 - 1
    return torch.tensor(values).permute(2, 0, 1)[None]


def package(run):
    """The published metric with what the run has trained."""
    path = os.path.join(run, "model.safetensors")
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["lpips"])
    metric = lpips.LPIPS(net=about["net"], version=about["version"], pretrained=False, pnet_rand=True, verbose=False)
    backbone = load_file(os.path.join(os.environ["LPIPS_WEIGHTS_DIR"], BACKBONES[about["net"]] + ".safetensors"))
    names = [name for name in metric.state_dict() if name.startswith("net.")]
    metric.load_state_dict({name: backbone["features." + name.split(".", 2)[2]] for name in names}, strict=False)
    result = metric.load_state_dict(load_file(path), strict=False)
    assert not result.unexpected_keys, result.unexpected_keys
    print(f"{path}: {about}")
    return metric.eval(), about["net"]


def compare(binary, run, reference, candidates):
    metric, net = package(run)
    command = [binary, "compare", "--quiet", "--json", "--net", net, "--weights", os.path.join(run, "model.safetensors")]
    lines = subprocess.run([*command, reference, *candidates], check=True, capture_output=True, text=True).stdout
    for line, candidate in zip(lines.splitlines(), candidates, strict=True):
        ours = json.loads(line)["distance"]
        with torch.no_grad():
            theirs = metric(picture(reference), picture(candidate)).item()
        print(f"  {candidate}: package {theirs:.8f}, binary {ours:.8f}")
        assert abs(ours - theirs) <= 1e-5, "the two differ by more than 1e-5"


def events(run):
    reader = EventAccumulator(os.path.join(run, "events"), size_guidance={"scalars": 0})
    reader.Reload()
    with open(os.path.join(run, "log.jsonl")) as file:
        steps = [json.loads(line) for line in file]
    for tag in ["loss", "accuracy", "lr", "grad_norm"]:
        values = [(event.step, event.value) for event in reader.Scalars(tag)]
        assert [step for step, _ in values] == [step["step"] for step in steps], tag
        assert np.allclose([value for _, value in values], [step[tag] for step in steps], rtol=1e-6), tag
    print(f"  {len(steps)} steps of {reader.Tags()['scalars']} in TensorBoard's events")


if __name__ == "__main__":
    compare(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
    events(sys.argv[2])
