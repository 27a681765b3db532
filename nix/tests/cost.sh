#!/bin/sh
# Counts what the library costs, in function calls of Nix: the same on every machine, unlike time.
#
#   nix/tests/cost.sh      NIX_INSTANTIATE=… picks another Nix
#
# The limits are a quarter above what is measured (104 calls for a member that is evaluated, none for one that is listed).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
nix=${NIX_INSTANTIATE:-nix-instantiate}

calls() {
  NIX_SHOW_STATS=1 "$nix" --eval --strict "$here/cost.nix" "$@" 2>&1 |
    sed -n 's/.*"nrFunctionCalls": *\([0-9]*\).*/\1/p'
}

passed=0
failed=0
# check WHAT LIMIT VALUE
check() {
  echo "$1: $3 (limit $2)"
  if [ "$3" -le "$2" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

none=$(calls --arg members 0 --arg evaluate true)
some=$(calls --arg members 1000 --arg evaluate true)
listed_once=$(calls --arg members 1000)
empty_once=$(calls --arg members 0)
listed=$(calls --arg members 1000 --arg generations 101)
empty=$(calls --arg members 0 --arg generations 101)

# The deployment itself calls twice for each member.
check "calls per member evaluated" 130 $(((some - none) / 1000 - 2))
check "calls per member listed, 100 generations" 0 $(((listed - listed_once - empty + empty_once) / 1000))
check "calls per generation without members" 800 $(((empty - empty_once) / 100))

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
