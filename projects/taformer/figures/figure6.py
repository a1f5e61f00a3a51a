"""Figure 6: box queries of instances over frames, laid out by t-SNE, by model."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmtaformer.evaluation import load_ground_truth
from mmtaformer.utils.launch import UsageError, friendly_errors
from mmtaformer.visualization import track_color

from .box_queries import (
    Instance,
    QueryPoints,
    concatenate,
    matched_queries,
    video_instances,
)
from .common import (
    add_model_arguments,
    add_out_argument,
    add_video_arguments,
    load_models,
    read_video,
    run_video,
    save_figure,
    select_videos,
)

_MARKERS = "o^sDvP*X<>ph"


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_video_arguments(parser, num_videos=3, with_frames=False)
    add_model_arguments(parser)
    parser.add_argument(
        "--perplexity",
        type=float,
        default=30.0,
        help="of t-SNE, reduced to a third of the points if need be (default: 30)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of t-SNE (default: 0)")
    add_out_argument(parser, "figures/figure6")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the figure that the command line asks for."""
    args = parse_args(argv)
    with friendly_errors():
        require_sklearn()
        ground_truth = load_ground_truth(args.gt)
        videos = select_videos(ground_truth, args.video_ids, args.num_videos)
        points, instances = collect_points(args, ground_truth, videos)
        figure = draw_figure(points, instances, args.perplexity, args.seed)
        png, pdf = save_figure(figure, args.out)
        print(f"Wrote {png} and {pdf}.")


def require_sklearn() -> None:
    """Raise UsageError if scikit-learn is not installed."""
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "t-SNE needs scikit-learn, which is not installed: pip install scikit-learn"
        ) from error


def collect_points(
    args: argparse.Namespace,
    ground_truth: Mapping[str, Any],
    videos: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, QueryPoints], list[Instance]]:
    """Run the models and gather their points.

    Returns:
        The points of each model, and the instances that they index.
    """
    instances = [video_instances(ground_truth, video) for video in videos]
    first = np.cumsum([0, *map(len, instances)])
    frames = [read_video(video, args.img_prefix) for video in videos]
    points = {}
    for name, model in load_models(
        args.model, args.device, len(ground_truth["categories"])
    ):
        parts = []
        for index, own in enumerate(instances):
            found = matched_queries(model, run_video(model, frames[index]), own)
            shifted = found.instances + first[index]
            parts.append(QueryPoints(found.vectors, shifted, found.ious))
        points[name] = concatenate(parts)
    return points, [instance for own in instances for instance in own]


def draw_figure(
    points: Mapping[str, QueryPoints],
    instances: Sequence[Instance],
    perplexity: float = 30.0,
    seed: int = 0,
) -> Figure:
    """Draw a panel per model.

    Args:
        points: The points of each model.
        instances: The instances that they index.
        perplexity: Of t-SNE.
        seed: Of t-SNE.

    Returns:
        A figure with one axes per model. Each instance has a colour, each class a
        marker. Under the name of the model stand the silhouette of the instances
        among the queries themselves, before t-SNE, and the IoU of their boxes.
    """
    figure = Figure(figsize=(4.2 * len(points) + 2.2, 4.4), layout="constrained")
    axes = figure.subplots(1, len(points), squeeze=False)[0]
    for ax, (name, own) in zip(axes, points.items(), strict=True):
        places = embed(own, perplexity, seed)
        for index in np.unique(own.instances):
            style = _style(index, instances[index])
            ax.scatter(*places[own.instances == index].T, s=26, lw=0.3, **style)
        silhouette = f"silhouette {instance_silhouette(own):.2f}"
        ax.set_title(
            f"{name}\n{silhouette}, IoU of boxes {own.ious.mean():.2f}", fontsize=10
        )
        _without_ticks(ax)
    handles = [
        Line2D([], [], ls="", label=_legend_text(i, instance), **_style(i, instance))
        for i, instance in enumerate(instances)
    ]
    figure.legend(handles=handles, loc="outside right center", fontsize=8)
    return figure


def embed(points: QueryPoints, perplexity: float, seed: int) -> np.ndarray:
    """Lay points out in the plane.

    Args:
        points: The n points.
        perplexity: Of t-SNE; at most a third of the points is taken.
        seed: Of t-SNE.

    Returns:
        (n, 2).

    Raises:
        UsageError: If there are fewer than two instances, or four points.
    """
    from sklearn.manifold import TSNE

    count, kinds = len(points.vectors), len(np.unique(points.instances))
    if kinds < 2 or count < 4:
        raise UsageError(
            f"there are {count} box queries of {kinds} instances in the chosen videos, "
            "and t-SNE needs two instances and four queries; choose more --video-ids."
        )
    tsne = TSNE(
        init="pca", perplexity=min(perplexity, (count - 1) / 3), random_state=seed
    )
    return tsne.fit_transform(points.vectors)


def instance_silhouette(points: QueryPoints) -> float:
    """How well instances separate in the space of the queries.

    Args:
        points: The points.

    Returns:
        The mean silhouette by cosine distance, which the contrastive loss works on:
        1 where instances are far apart, 0 where they overlap.
    """
    from sklearn.metrics import silhouette_score

    if len(np.unique(points.instances)) == len(points.instances):
        return 0.0  # every instance is a single point
    return float(silhouette_score(points.vectors, points.instances, metric="cosine"))


def _style(index: int, instance: Instance) -> dict[str, Any]:
    color = tuple(channel / 255 for channel in track_color(int(index)))
    return dict(color=color, marker=_MARKERS[instance.label % len(_MARKERS)])


def _legend_text(index: int, instance: Instance) -> str:
    return f"video {instance.video_id}: {instance.name} #{index}"


def _without_ticks(ax: Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_aspect("equal", adjustable="datalim")


if __name__ == "__main__":
    main()
