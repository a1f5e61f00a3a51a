"""Evaluation of video instance segmentation in the YouTube-VIS format."""

from mmtaformer.ytvis.predictions import encode_masks, frames_to_results
from mmtaformer.ytvis.results import load_ground_truth, load_results, save_results

from .ytvis_eval import evaluate_ytvis, format_tables
from .ytvis_metric import YTVISMetric

__all__ = [
    "YTVISMetric",
    "encode_masks",
    "evaluate_ytvis",
    "format_tables",
    "frames_to_results",
    "load_ground_truth",
    "load_results",
    "save_results",
]
