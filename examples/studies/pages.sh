#!/bin/sh
# Makes the pages of all studies again, for the documentation: examples/studies/pages.sh [STUDY...]
set -eu
cd "$(dirname "$0")/../.."
if [ $# -eq 0 ]; then set -- examples/studies/0*.py; fi
for script; do
    name=$(basename "$script" .py)
    made=build/studies/$name
    rm -rf "$made"
    python "$script" -o "$made"
    mkdir -p "docs/studies/$name"
    cp "$made"/index.md "$made"/*.jpg "docs/studies/$name/"
done
