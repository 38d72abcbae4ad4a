#!/usr/bin/env bash
# Paint a folder of photos once in each bundled style:
#     examples/convert_folder.sh examples/photos painted
# One folder a style comes out. A run that was interrupted goes on where it stopped.
set -euo pipefail

photos=${1:?usage: convert_folder.sh PHOTOS OUTPUT [STYLEPIPE OPTION...]}
output=${2:?usage: convert_folder.sh PHOTOS OUTPUT [STYLEPIPE OPTION...]}
shift 2

styles=$(stylepipe styles)
failed=0
while read -r style _; do
    [ -n "$style" ] || continue
    echo "== $style" >&2
    # exit code 1: some photos could not be read; the other styles are worth having all the same
    stylepipe run "$photos" --output "$output/$style" --style "$style" "$@" || failed=$?
    [ "$failed" -le 1 ] || exit "$failed"
done <<< "$styles"
exit "$failed"
