"""Evaluation of video instance segmentation in the YouTube-VIS format."""

from mmtaformer.ytvis.predictions import encode_masks, frames_to_results
from mmtaformer.ytvis.results import load_ground_truth, load_results, save_results

from .by_visibility import has_visibilities, iou_by_visibility
from .ytvis_eval import evaluate_ytvis, format_tables
from .ytvis_metric import YTVISMetric

__all__ = [
    "YTVISMetric",
    "encode_masks",
    "evaluate_ytvis",
    "format_tables",
    "frames_to_results",
    "has_visibilities",
    "iou_by_visibility",
    "load_ground_truth",
    "load_results",
    "save_results",
]
