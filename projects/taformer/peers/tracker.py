"""MaskTrack R-CNN's tracker with one detection for a track."""

from mmdet.models.trackers import MaskTrackRCNNTracker
from mmdet.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class OneToOneMaskTrackRCNNTracker(MaskTrackRCNNTracker):
    """Gives a track to the detection that fits it best.

    mmdet's tracker leaves the track with the ones that had it before, too, so that a
    frame has one identity twice, which no results file can hold.
    """

    def assign_ids(self, match_scores: Tensor) -> tuple[Tensor, Tensor]:
        """Match detections with tracks.

        Args:
            match_scores: (detections, tracks + 1), the first column for new tracks.

        Returns:
            (detections,) identities, -1 for what is left out, and (tracks,) the scores
            of the matches.
        """
        ids, best = super().assign_ids(match_scores)
        # A later one has a track only if it fits better than those before.
        for index, identity in enumerate(ids.tolist()):
            if identity in ids[index + 1 :].tolist():
                ids[index] = -1
        return ids, best
