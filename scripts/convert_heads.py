"""Write LAION's score heads as safetensors, and the answers they must give as test data.

    python scripts/convert_heads.py SOURCE WEIGHTS ANSWERS

SOURCE holds the files as published (transforms/scores/weights/README.md names repositories and commits):
`sa_0_4_vit_{b_32,l_14}_linear.pth`, `sac+logos+ava1-l14-linearMSE.pth`, the NSFW detectors exported from
their SavedModels to `clip_autokeras_nsfw_b32.npz` and `clip_autokeras_binary_nsfw.npz` (with rows `ref_x` and
what TensorFlow made of them, `ref_y`), and the vectors `ratings_*/rating*.npy`, `seven_images_*.npz`.

Run once; kept to show how the carried files came about.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file

AESTHETIC_V1 = {"b32": "sa_0_4_vit_b_32_linear.pth", "l14": "sa_0_4_vit_l_14_linear.pth"}
AESTHETIC_V2 = "sac+logos+ava1-l14-linearMSE.pth"
NSFW = {"b32": "clip_autokeras_nsfw_b32.npz", "l14": "clip_autokeras_binary_nsfw.npz"}
RATINGS = {"b32": "ratings_b_32", "l14": "ratings_l_14"}

CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073])  # OpenAI's preprocessing, to undo it
CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711])

Arrays = dict[str, np.ndarray]


def layers(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """(kernel [in, out], bias [out]) of each linear layer of a torch state dict, in float64."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    names = [name.removesuffix("weight") for name in state if name.endswith("weight")]
    return [(state[n + "weight"].double().numpy().T, state[n + "bias"].double().numpy()) for n in names]


def one_layer(path: Path) -> Arrays:
    """A chain of linear layers with nothing between is one linear layer: their product, taken in float64."""
    (kernel, bias), *rest = layers(path)
    for next_kernel, next_bias in rest:
        kernel, bias = kernel @ next_kernel, bias @ next_kernel + next_bias
    return {"kernel0": kernel.astype(np.float32), "bias0": bias.astype(np.float32)}


def nsfw(path: Path) -> Arrays:
    """The detector's arrays; each vocabulary as int32 millionths, in the order of its indices 1, 2, …"""
    source = np.load(path)
    arrays = {k: source[k] for k in source.files if k.startswith(("mean", "variance", "kernel", "bias"))}
    for column in source["int_columns"]:
        keys = [key.decode() for key in source[f"vocab_keys_{column}"]]
        assert (source[f"vocab_vals_{column}"] == np.arange(1, len(keys) + 1)).all()
        millionths = np.array([int(key.replace(".", "")) for key in keys], np.int32)
        assert keys == [f"{value / 1e6:.6f}" for value in millionths], "a key such as -0.000000"
        arrays[f"vocabulary_{column}"] = millionths
    return arrays


def exact_answers(path: Path, vectors: np.ndarray) -> np.ndarray:
    """What the published layers give one after the other in float32, as their authors run them."""
    x = torch.from_numpy(vectors)
    for kernel, bias in layers(path):
        x = x @ torch.from_numpy(kernel).float() + torch.from_numpy(bias).float()
    return x[:, 0].numpy()


def photo(pixels: np.ndarray) -> bytes:
    """One CLIP-normalised tensor [3, 224, 224] as the JPEG of the picture it was made from."""
    rgb = (pixels.transpose(1, 2, 0) * CLIP_STD + CLIP_MEAN) * 255
    buffer = io.BytesIO()
    Image.fromarray(rgb.round().clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def main(source: Path, weights: Path, answers: Path) -> None:
    for model, name in AESTHETIC_V1.items():
        save_file(one_layer(source / name), weights / f"aesthetic_v1_{model}.safetensors")
    save_file(one_layer(source / AESTHETIC_V2), weights / "aesthetic_v2_l14.safetensors")
    known: Arrays = {}
    for model, name in NSFW.items():
        save_file(nsfw(source / name), weights / f"punsafe_{model}.safetensors")
        reference = np.load(source / name)
        known[f"punsafe_{model}_x"] = reference["ref_x"].astype(np.float32)
        known[f"punsafe_{model}_y"] = reference["ref_y"][:, 0]
    for model, folder in RATINGS.items():
        files = [source / folder / f"rating{rating}.npy" for rating in range(10)]
        known[f"ratings_{model}"] = np.concatenate([np.load(file) for file in files])
        save_file({"vectors": known[f"ratings_{model}"]}, weights / f"ratings_{model}.safetensors")
    known["aesthetic_v2_l14_y"] = exact_answers(source / AESTHETIC_V2, known["ratings_l14"])
    seven = np.load(source / "seven_images_vit_b32.npz")
    known["seven_b32"] = seven["image_embs"]
    known["seven_aesthetic_v1_b32"] = seven["aesthetic_sa_0_4"]
    known["seven_punsafe_b32"] = seven["nsfw_b32"]
    np.savez_compressed(answers / "answers.npz", **known)
    tensors = np.load(source / "seven_images_preprocessed_224.npz")
    for key, pixels in zip(tensors["keys"], tensors["pixels"], strict=True):
        (answers / f"{key}.jpg").write_bytes(photo(pixels))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
