"""Time and memory of a trajectory-matching step: a fresh process a measurement, as peaks do not come down again.

python benchmarks/speed_mtt.py SIDE STEPS     measures one step of so many synthetic steps
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

from speed_plain import CLASSES, CONVNET, FASHION, PER_CLASS, images, plain_network


def measure_mtt(side: str, steps: int) -> dict[str, float]:
    """Seconds of a trajectory-matching step and the growth of this process's resident set, on one thread."""
    import torch

    from limbeck.dynamics import Dynamics
    from limbeck.samples import Domain, Samples
    from limbeck.surrogates import Moment
    from limbeck.surrogates.trajectory import Trajectory
    from plain import mtt

    torch.set_num_threads(1)
    dynamics = Dynamics(f"{CONVNET}/sgd(momentum=0)/none/constant", Domain(FASHION, CLASSES))
    x, labels = images(CLASSES * PER_CLASS, FASHION)
    pixels, rate = x.requires_grad_(), torch.tensor(0.01, requires_grad=True)
    state, target = dynamics.initial(0), dynamics.initial(1).vector
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    if side == "plain":
        module = plain_network(CONVNET, FASHION)
        loss = mtt.matching_loss(module, state.vector, target, pixels, labels, rate, steps)
    else:
        moment = Moment(dynamics, state, 0, target, {"step_size": rate})
        samples = Samples.hard(pixels, labels, CLASSES)
        loss = Trajectory(synthetic_steps=steps).value(moment, samples, samples)
    loss.backward()
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


def compare_mtt(turns: int) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {"plain 20": [], "limbeck 20": [], "limbeck 80": []}
    for turn in range(turns):
        for key, several in found.items():
            if key.endswith("80") and turn >= 3:
                continue
            command = [sys.executable, __file__, *key.split()]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            several.append(json.loads(output.splitlines()[-1]))
    return found


if __name__ == "__main__":
    print(json.dumps(measure_mtt(sys.argv[1], int(sys.argv[2]))))
