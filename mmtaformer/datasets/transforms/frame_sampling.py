"""Choosing the frames of a clip."""

import numpy as np
from mmdet.datasets.transforms import BaseFrameSample
from mmdet.registry import TRANSFORMS

from mmtaformer.utils.errors import UsageError


@TRANSFORMS.register_module()
class ClipSample(BaseFrameSample):
    """Sample a clip around a key frame, as SeqFormer's released code does.

    The clip has the key frame, one frame before and one after it, both at most
    ``local_range`` frames away, and random frames from outside that stretch, in order
    of time. Unlike the released code it repeats a frame only if the video has fewer
    frames than the clip: where the key frame is the first or last one, a random frame
    stands in for the missing neighbour.

    A clip of one frame is the key frame; a clip of two has one of the neighbours.

    Args:
        num_frames: Length T of the clip.
        local_range: Largest distance of the two neighbours, in frames.
        **kwargs: See :class:`mmdet.datasets.transforms.BaseFrameSample`.

    Raises:
        UsageError: If ``num_frames`` or ``local_range`` is less than one.
    """

    def __init__(self, num_frames: int = 5, local_range: int = 3, **kwargs) -> None:
        super().__init__(**kwargs)
        if num_frames < 1 or local_range < 1:
            raise UsageError(
                f"ClipSample got num_frames={num_frames} and "
                f"local_range={local_range}; both must be at least 1."
            )
        self.num_frames = num_frames
        self.local_range = local_range

    def sample_frames(self, video_length: int, key_frame: int) -> list[int]:
        """Choose the frames of a clip.

        Args:
            video_length: Number of frames of the video.
            key_frame: Index of the key frame.

        Returns:
            ``num_frames`` indices in ascending order, the key frame among them.
        """
        distances = np.random.randint(1, self.local_range + 1, size=2)
        first = max(key_frame - int(distances[0]), 0)
        last = min(key_frame + int(distances[1]), video_length - 1)
        neighbours = [frame for frame in (first, last) if frame != key_frame]
        outside = [*range(first), *range(last + 1, video_length)]
        inside = [f for f in range(first + 1, last) if f != key_frame]
        # In order of preference; np.resize goes round a short video again and again.
        frames = [key_frame, *_shuffle(neighbours), *_shuffle(outside)]
        frames += _shuffle(inside)
        missing = max(self.num_frames - len(frames), 0)
        frames += np.resize(np.random.permutation(video_length), missing).tolist()
        return sorted(frames[: self.num_frames])

    def transform(self, video_infos: dict) -> dict[str, list]:
        """Turn the description of a video into that of a clip.

        Args:
            video_infos: A video with ``images``, ``video_length`` and, if the sampler
                asks for one, ``key_frame_id``.

        Returns:
            For each key of a frame, the list of its values in the clip.
        """
        length = video_infos["video_length"]
        key_frame = video_infos.get("key_frame_id")
        if key_frame is None:
            key_frame = int(np.random.randint(length))
        return self.prepare_data(video_infos, self.sample_frames(length, key_frame))

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(num_frames={self.num_frames}, "
            f"local_range={self.local_range}, "
            f"collect_video_keys={self.collect_video_keys})"
        )


def _shuffle(frames: list[int]) -> list[int]:
    return np.random.permutation(frames).astype(int).tolist()
