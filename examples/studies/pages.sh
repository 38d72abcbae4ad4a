#!/bin/sh
# Makes the pages of all studies for the documentation: examples/studies/pages.sh [STUDY...]
# Study 000 trains on the photos in $FACES. What is in build/studies is resumed; remove it to begin
# anew.
set -eu
cd "$(dirname "$0")/../.."
if [ $# -eq 0 ]; then set -- examples/studies/0*.py; fi
for script; do
    name=$(basename "$script" .py)
    made=build/studies/$name
    set --
    case $name in
    000*) [ -z "${FACES-}" ] || set -- --faces "$FACES" ;;
    esac
    python "$script" -o "$made" "$@"
    mkdir -p "docs/studies/$name"
    cp "$made"/index.md "$made"/*.jpg "docs/studies/$name/"
done
