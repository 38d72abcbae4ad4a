#!/usr/bin/env bash
# Train the compact encoder anew, and the decoders of wct, adain and style-swap, which belong to it:
#     examples/train_encoder_and_decoders.sh PHOTOS PAINTINGS TEACHER OUTPUT
# PHOTOS is a folder of some thousand varied photos, PAINTINGS one of some dozen paintings, TEACHER
# the weights of the network to learn from: the 16-times pruned VGG-19 to relu5_1 of Wang et al.,
# "Collaborative Distillation" (2020), for the encoder in the package. The first guess, by least
# squares, does most. The decoders follow the clock: those in the package had two busy CPU cores, and
# are the better the more they have. An interrupted training resumes.
set -euo pipefail

usage="usage: train_encoder_and_decoders.sh PHOTOS PAINTINGS TEACHER OUTPUT"
photos=${1:?$usage}
paintings=${2:?$usage}
teacher=${3:?$usage}
output=${4:?$usage}

mkdir -p "$output"
common=(--photos "$photos" --paintings "$paintings" --license MIT)
trained() {  # FILE COMMAND OPTION...
    [ -f "$output/$1.safetensors" ] || stylepipe train "${@:2}" "${common[@]}" \
        --output "$output/$1.safetensors"
}

trained compact encoder --teacher-weights "$teacher" --guess 400 --steps 1600 --learning-rate 3e-4
common+=(--encoder-weights "$output/compact.safetensors")
trained wct wct --widen 1.5 --size 176 --batch 4 --minutes 26 --learning-rate 6e-4
trained adain-first adain --init "$output/wct.safetensors" --size 176 --batch 6 \
    --style-weight 0.5 --temporal-consistency-weight 5 --minutes 17 --learning-rate 5e-4
trained adain adain --init "$output/adain-first.safetensors" --size 176 --batch 6 \
    --style-weight 0.3 --temporal-consistency-weight 3 --minutes 21 --learning-rate 5e-4
trained style-swap style-swap --init "$output/wct.safetensors" --size 160 --batch 6 \
    --copies 0.5 --minutes 15 --learning-rate 6e-4
