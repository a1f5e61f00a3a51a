#!/usr/bin/env bash
# From a fresh clone to a trained, evaluated and rendered TAFormer, on the CPU.
#
#   bash tools/quickstart.sh [--with-baseline]
#
#   --with-baseline  train the small SeqFormer in the same way, for comparison
#
# Run it again to continue where it was interrupted: what is done is skipped.

set -euo pipefail

with_baseline=0
for argument in "$@"; do
    case "$argument" in
        --with-baseline) with_baseline=1 ;;
        -h | --help)
            sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *)
            echo "error: unknown option $argument; there is only --with-baseline" >&2
            exit 2
            ;;
    esac
done

# shellcheck source=tools/setup_env.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"

data=data/synthvis_deform
truth="$data/val.json"

run() { "$ENV_PYTHON" "$@"; }

# Prints the checkpoint that a complete run of a config ends with.
final_checkpoint() {
    run -c 'import sys; from mmengine.config import Config
cfg = Config.fromfile(sys.argv[1], import_custom_modules=False)
print(f"{sys.argv[2]}/epoch_{cfg.train_cfg.max_epochs}.pth")' "$1" "$2"
}

# Whether a checkpoint is there and was written to its end.
is_whole() {
    [[ -f "$1" ]] && run -c 'import sys, zipfile
sys.exit(zipfile.ZipFile(sys.argv[1]).testzip() is not None)' "$1" 2>/dev/null
}

# train CONFIG WORK_DIR
train() {
    local config="$1" work_dir="$2" checkpoint
    checkpoint="$(final_checkpoint "$config" "$work_dir")"
    if is_whole "$checkpoint"; then
        step "$config is trained: $checkpoint"
        return
    fi
    # What a run left that was stopped while it wrote; --resume takes the one before.
    rm -f "$checkpoint"
    step "Training $config (up to 25 minutes on two cores); log in $work_dir"
    run tools/train.py "$config" --work-dir "$work_dir" --resume
}

# evaluate CONFIG WORK_DIR: predicts the held-out videos and prints AP and AR.
evaluate() {
    local config="$1" work_dir="$2" checkpoint results="$2/results.json"
    checkpoint="$(final_checkpoint "$config" "$work_dir")"
    if [[ -f "$results" && "$results" -nt "$checkpoint" ]]; then
        step "$checkpoint is tested: $results"
    else
        step "Testing $checkpoint on the held-out videos (1 minute)"
        run tools/test.py "$config" "$checkpoint" --work-dir "$work_dir" --out "$results"
    fi
    step "AP and AR of $config"
    run tools/analysis_tools/eval_results.py "$truth" "$results" \
        --json "$work_dir/metrics.json"
}

# render WORK_DIR: writes videos and the contact sheet.
render() {
    local work_dir="$1" results="$1/results.json" sheet="$1/contact_sheet.png"
    if [[ -f "$sheet" && "$sheet" -nt "$results" ]]; then
        step "Videos and contact sheet are drawn"
        return
    fi
    step "Drawing videos and the contact sheet (half a minute)"
    run tools/analysis_tools/browse_results.py "$truth" "$results" \
        --img-prefix "$data/val/JPEGImages" --videos --out-dir "$work_dir/videos" \
        --sheet "$sheet"
}

summary() {
    local work_dir="$1"
    step "Done. All of it is under $PROJECT_ROOT:"
    printf '  %-14s %s\n' \
        "data" "$data (official YouTube-VIS format)" \
        "checkpoint" "$(final_checkpoint "$2" "$work_dir")" \
        "predictions" "$work_dir/results.json" \
        "figures" "$work_dir/metrics.json" \
        "videos" "$work_dir/videos/" \
        "contact sheet" "$work_dir/contact_sheet.png (ground truth, prediction)"
}

main() {
    local taformer=configs/taformer/taformer_tiny_synthvis-deform.py
    local seqformer=configs/seqformer/seqformer_tiny_synthvis-deform.py
    local work_dir=work_dirs/taformer_tiny_synthvis-deform
    local baseline_dir=work_dirs/seqformer_tiny_synthvis-deform

    cd "$PROJECT_ROOT"
    setup_env onedl
    step "Generating videos into $data (1 minute)"
    run tools/dataset_converters/generate_synthvis.py --out "$data" --difficulty deform
    [[ -f "$data/ceilings.json" ]] ||
        run tools/analysis_tools/synthvis_ceilings.py "$truth" --write
    train "$taformer" "$work_dir"
    if ((with_baseline)); then
        train "$seqformer" "$baseline_dir"
        evaluate "$seqformer" "$baseline_dir"
    fi
    evaluate "$taformer" "$work_dir"
    render "$work_dir"
    summary "$work_dir" "$taformer"
    if ((with_baseline)); then
        printf '  %-14s %s\n' "baseline" "$baseline_dir (SeqFormer)"
    fi
    step "Its tracks in a video of your own:"
    printf '  %q demo/video_demo.py my.mp4 \\\n      %s %s --out-dir out\n' "$ENV_PYTHON" \
        "$taformer" "$(final_checkpoint "$taformer" "$work_dir")"
}

main
