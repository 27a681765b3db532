#!/bin/sh
# What is written from the options and the apps: the reference page, and what members of deployments know of recipes. Shows what
# is not fresh, or writes it with --update.
#
#   nix/tests/coop-cloud-docs.sh [--update]        NIX_INSTANTIATE=… picks another Nix
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
update=${1:-}
stale=0
fresh=$(mktemp)
trap 'rm -f "$fresh"' EXIT

compare() { # FILE, fresh on stdin
  cat >"$fresh"
  if [ "$update" = --update ]; then
    cat "$fresh" >"$1"
  else
    diff -u "$1" "$fresh" || stale=1
  fi
}

evaluated() { # EXPRESSION
  "${NIX_INSTANTIATE:-nix-instantiate}" --eval --strict --json -E "$1"
}

evaluated "import $here/../lib/cc-docs.nix { }" |
  python3 -c 'import json, sys; sys.stdout.write(json.load(sys.stdin))' |
  compare "$root/docs/reference/coop-cloud-options.md"
evaluated "import $here/../lib/cc-recipes.nix" |
  python3 -c 'import json, sys; json.dump(json.load(sys.stdin), sys.stdout, indent=2, ensure_ascii=False); print()' |
  compare "$root/providers/workload/src/app/recipes.json"
exit "$stale"
