#!/usr/bin/env bash
# Train the bundled styles anew, or more of them, one file each:
#     examples/train_bundled_styles.sh PHOTOS PAINTINGS ENCODER OUTPUT [STYLE...]
# PHOTOS is a folder of varied photos, PAINTINGS the folder of paintings that bundled_styles.toml
# names, ENCODER the weights of the network that judges. About seven minutes a style on two quiet
# CPU cores. An interrupted training resumes.
set -euo pipefail

usage="usage: train_bundled_styles.sh PHOTOS PAINTINGS ENCODER OUTPUT [STYLE...]"
photos=${1:?$usage}
paintings=${2:?$usage}
encoder=${3:?$usage}
output=${4:?$usage}
shift 4

mkdir -p "$output"
cp "$(dirname "$0")/bundled_styles.toml" "$paintings/"
[ $# -gt 0 ] || set -- $(sed -n 's/^\[\(.*\)\]$/\1/p' "$paintings/bundled_styles.toml")
for style in "$@"; do
    [ ! -f "$output/$style.safetensors" ] || continue
    echo "== $style" >&2
    case $style in  # of these the photo would go under at 1
        scream | watercolor) content=3 ;;
        red-fuji) content=2.5 ;;
        castle-and-sun) content=2 ;;
        *) content=1 ;;
    esac
    stylepipe train fast --photos "$photos" --paintings "$paintings/bundled_styles.toml" \
        --only "$style" --quality light --encoder-weights "$encoder" --content-weight $content \
        --style-weight 2 --tone-weight 0 --hue-weight 0 --consistency-weight 0.7 \
        --learning-rate 2e-3 --steps 360 --license MIT --output "$output/$style.safetensors"
done
