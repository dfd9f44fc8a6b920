#!/bin/sh
# Ollama's own client, which pushes through its server: both, from the server's start to its end.
# ollama.sh PROGRAM PORT BLOBS MANIFEST HOST REPOSITORY TAG
set -eu
export OLLAMA_HOST="127.0.0.1:$2" OLLAMA_MODELS="$HOME/models" OLLAMA_NOPRUNE=1
mkdir -p "$OLLAMA_MODELS/manifests/$5/$6"
ln -s "$3" "$OLLAMA_MODELS/blobs"
cp "$4" "$OLLAMA_MODELS/manifests/$5/$6/$7"
"$1" serve &
server=$!
trap 'kill $server; wait $server || true' EXIT
until "$1" list >/dev/null 2>&1; do
  kill -0 $server
  sleep 0.05
done
"$1" push --insecure "http://$5/$6:$7"
