#!/usr/bin/env bash
# Paint a video without flicker, sound and subtitles included, and keep a preview of three seconds:
#     examples/stylize_video.sh examples/clip.mp4 great-wave
set -euo pipefail

video=${1:?usage: stylize_video.sh VIDEO [STYLE] [STYLEPIPE OPTION...]}
style=${2:-great-wave}
shift $(($# < 2 ? $# : 2))
name=${video%.*}_$style

stylepipe run "$video" --output "${name}_preview.mp4" --style "$style" --end 3 --preset video-fast "$@"
stylepipe run "$video" --output "$name.mp4" --style "$style" --preset video-smooth "$@"
