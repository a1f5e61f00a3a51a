"""The YouTube-VIS format: annotations, frames, instances, results, predictions."""
