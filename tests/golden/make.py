"""Make the golden files of this version, once, at its release; what is there already is never changed.

python tests/golden/make.py        # writes tests/golden/<version>/; needs pyarrow and diffusers
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

import limbeck
from limbeck.cli import main
from limbeck.configuration import Configuration
from limbeck.digest import digest_array
from limbeck.study import StudyFolder
from limbeck.study.additions import Addition
from limbeck.variants import make as build_variant

CONFIGURATION = "mlp(width=8, depth=1)/adamw/none/cosine(steps=4)"
IMAGES = "convnet(width=4, depth=1)/sgd/none/cosine(steps=4)"
FORMS = {
    "pixels": ("dm(steps=2, batch_real=16)", CONFIGURATION),
    "learned-labels": ("dc(steps=2, batch_real=16, labels=soft)", CONFIGURATION),
    "soft-labels": ("rded(pool=20, teachers=1, teacher_epochs=1)", IMAGES),
    "step-size": ("mtt(steps=1, experts=1, expert_epochs=3, synthetic_steps=1, ahead=1, max_start=1)", CONFIGURATION),
    "tiles": ("dm(steps=2, batch_real=16, factor=2)", CONFIGURATION),
    "latent": ("dm(steps=2, batch_real=16, latent=4)", CONFIGURATION),
    "decoded": ("dm(steps=2, batch_real=16, decoder={decoder})", IMAGES),
}
MTT = FORMS["step-size"][0]
DIVERGING = "mlp(width=8, depth=1)/sgd(lr=1e9)/none/cosine(steps=4)"


def study(name: str, **changes: Any) -> str:
    """The text of a study file of sets that take no time."""
    settings: dict[str, Any] = {"name": name, "source": "digits", "methods": ["random", MTT], "per_class": [1]}
    settings |= {"configurations": [CONFIGURATION, DIVERGING], "sets": 1, "seeds": 2, "reference_seeds": 2} | changes
    return "\n".join([*(f"{key} = {value!r}" for key, value in settings.items()), "[distill]", "candidates = 1", ""])


def decoder(folder: Path) -> Path:
    """A tiny random autoencoder in the form of the diffusers library."""
    import diffusers

    torch.manual_seed(0)
    tiny = diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(2, 2), latent_channels=2, norm_num_groups=1, sample_size=8, layers_per_block=1,
    )  # fmt: skip
    tiny.eval().save_pretrained(folder)
    return folder


def make_sets(out: Path, aside: Path) -> None:
    """A set of each stored form on digits, and one of feature vectors."""
    for name, (method, configuration) in FORMS.items():
        method = method.format(decoder=decoder(aside / "decoder").name)
        with contextlib.chdir(aside):  # so that the set names no folder of this machine
            limbeck.distill("digits", method, configuration, 1, candidates=1).save(out / name)
    random = np.random.default_rng(0)
    vectors = limbeck.Source.from_arrays(random.standard_normal((60, 5)), np.arange(60) % 3, name="vectors")
    limbeck.distill(vectors, "k-means", CONFIGURATION, 2).save(out / "vectors")


def described(folder: Path) -> dict[str, Any]:
    """What a set says today, for later versions to say too; samples by digest and, where they are computed, numbers."""
    held = limbeck.SyntheticSet.load(folder)
    samples = held.samples()
    facts = {"digest": held.digest, "k": held.k, "per_class": held.per_class, "bytes": held.bytes}
    facts |= {"method": held.method, "configuration": held.configuration, "step_size": held.step_size}
    x = samples.x.numpy()
    facts |= {"shape": list(x.shape), "mean": float(x.mean()), "last": x.reshape(len(x), -1)[-1, -5:].tolist()}
    return facts | {"labels": digest_array(samples.y.argmax(dim=1).numpy()), "entropy": _entropy(samples.y)}


def _entropy(y: torch.Tensor) -> float:
    return float(-(y * y.clamp_min(1e-12).log()).sum(dim=1).mean())


def say(*words: object) -> str:
    """What a command prints."""
    sys.argv = ["limbeck", *map(str, words)]
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        main()
    return said.getvalue()


def make(out: Path) -> None:
    """Sets, their exports, a study with finished and failed cells and an addition, a table and an answer."""
    with tempfile.TemporaryDirectory() as aside:
        make_sets(out / "sets", Path(aside))
        larger = Path(aside) / "larger.toml"
        larger.write_text(study("larger", methods=["random"], per_class=[1, 2, 5, 10], configurations=[CONFIGURATION]))
        say("study", "run", larger, "--runs", aside, "--runner", "serial")
        (out / "rows.csv").write_text(say("study", "table", Path(aside) / "larger", "--csv"))
    (out / "plan.json").write_text(say("plan", out / "rows.csv", "--gap", 0.2, "--json"))
    (out / "study.toml").write_text(study("study"))
    folder = StudyFolder.open(limbeck.Study.load(out / "study.toml"), out)
    texts = Configuration.parse(CONFIGURATION).full_spec, build_variant("methods", "random").full_spec
    folder.add([Addition(texts[0], (2,), texts[1], per_class=2, set=1)])
    say("study", "run", folder.path, "--runner", "serial")
    for form in ("npz", "png", "huggingface"):
        say(
            "export", out / "sets" / "pixels", out / ("export.npz" if form == "npz" else f"export-{form}"), "--to", form
        )
    facts = {path.name: described(path) for path in sorted((out / "sets").iterdir())}
    (out / "sets.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    target = Path(__file__).resolve().parent / limbeck.__version__
    if target.exists():
        sys.exit(f"{target} is there, and golden files are never made anew. Raise the version first.")
    make(target)
    print(f"{sum(path.stat().st_size for path in target.rglob('*') if path.is_file())} bytes in {target}")
