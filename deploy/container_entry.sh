#!/bin/sh
# Starts sluice in a container: `serve` takes /config.yml if it is there, any other command is run
# as it is. exec makes sluice the process that gets the container's signals.
set -eu

if [ "$*" = serve ] && [ -f /config.yml ]; then
  set -- serve --config /config.yml
fi
exec sluice "$@"
