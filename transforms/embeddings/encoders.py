"""A loaded CLIP model: pictures and texts to vectors of length 1."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL.Image import Image

from transforms.embeddings.device import Device, Places, Vectors
from transforms.embeddings.pictures import decode
from transforms.embeddings.texts import TextTower, encode_texts


class Model:
    """A loaded CLIP model, whose towers compute no gradients and may be called from several threads.

    `network`: of open_clip; its picture tower is used. `preprocess`: of open_clip, for inference.
    `texts`: its own text tower, which is for English. `others`: the one for other languages, if it has one.
    """

    def __init__(
        self,
        network: Any,
        preprocess: Any,
        texts: TextTower,
        others: TextTower | None,
        device: Device,
        dimension: int,
    ) -> None:
        self._network = network
        *self._pixels, _, self._normalise = preprocess.transforms
        self._texts = texts
        self._others = others
        self._device = device
        self.dimension = dimension

    def encode_texts(self, texts: Sequence[str], size: int, english: bool = True) -> Vectors:
        """Vectors of texts cut to the model's context, float32 [n, dimension], `size` per forward pass.

        They are of length 1; NaN where that is not possible. Texts that are not `english` go through the
        tower for other languages, where the model has one.
        """
        tower = self._texts if english or self._others is None else self._others
        return encode_texts(tower, texts, size, self.dimension, self._device)

    def encode_pictures(self, pictures: Sequence[bytes], size: int) -> tuple[Vectors, npt.NDArray[np.bool_]]:
        """Vectors of encoded pictures as `encode_texts` gives them, and which could be decoded."""
        readable = np.zeros(len(pictures), bool)

        def batches(wanted: Places) -> Iterator[tuple[Places, Any]]:
            for places, prepared in self.prepared(pictures, wanted, size):
                have = np.array([picture is not None for picture in prepared])
                readable[places] = have
                if have.any():
                    yield places[have], self._device.stack(p for p in prepared if p is not None)

        return self._device.vectors(self.encode, batches, (len(pictures), self.dimension)), readable

    def prepared(
        self, pictures: Sequence[bytes], wanted: Places, size: int
    ) -> Iterator[tuple[Places, list[Any]]]:
        """The pictures at the places `wanted`, decoded by threads, `size` at a time and some batches ahead.

        Each is resized and cropped as the network wants it: a tensor uint8 [height, width, 3], None if it
        cannot be read. Bytes go to the device, a quarter of what floats are; `encode` makes floats there.
        """
        waiting: deque[tuple[Places, list[Future[Any]]]] = deque()
        with ThreadPoolExecutor(self._device.decoders) as pool:
            for start in range(0, len(wanted), size):
                places = wanted[start : start + size]
                waiting.append((places, [pool.submit(self._prepare, pictures[i]) for i in places]))
                if len(waiting) > self._device.ahead:
                    yield _done(*waiting.popleft())
            while waiting:
                yield _done(*waiting.popleft())

    def _prepare(self, data: bytes) -> Any:
        import torch

        picture: Image | None = decode(data)
        if picture is None:
            return None
        for change in self._pixels:
            picture = change(picture)
        return torch.from_numpy(np.array(picture))

    def encode(self, pixels: Any) -> Any:
        """Features of pixels, uint8 [n, height, width, 3], which stay in that order: channels last."""
        scaled = pixels.permute(0, 3, 1, 2).float().div_(255)
        return self._network.encode_image(self._normalise(scaled))


def _done(places: Places, prepared: list[Future[Any]]) -> tuple[Places, list[Any]]:
    return places, [picture.result() for picture in prepared]
