#!/bin/sh
# Tests the texts of errors: each errors/NAME.nix must fail with a message that holds every line of errors/NAME.txt.
#
#   nix/tests/errors.sh [--update] [NAME…]      NIX_INSTANTIATE=… picks another Nix, LIB='import <nixpkgs/lib>' another lib
#
# --update writes the .txt files anew, to be read before they are committed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
nix=${NIX_INSTANTIATE:-nix-instantiate}
lib=${LIB:-null}
update=no
if [ "${1:-}" = --update ]; then
  update=yes
  shift
fi
if [ $# -eq 0 ]; then
  for file in "$here"/errors/*.nix; do
    set -- "$@" "$(basename "$file" .nix)"
  done
fi

# The message alone: what follows the last "error: " (newer versions print the trace before it), without indentation,
# source excerpts and advice.
message() {
  "$nix" --eval --strict -E "import $here/errors.nix { name = \"$1\"; lib = $lib; }" 2>&1 >/dev/null |
    awk '
      /^ *error: /                { text = ""; open = 1; sub(/^ *error: /, "") }
      /^ *at [^ ]*:[0-9]+:[0-9]+:/ { open = 0 }
      /^\(use .--show-trace/      { open = 0 }
      open && !/^ *$/             { sub(/^ */, ""); text = text $0 "\n" }
      END                         { printf "%s", text }' |
    sed "s|$here/||"
}

passed=0
failed=0
for name in "$@"; do
  got=$(message "$name")
  if [ $update = yes ]; then
    printf '%s\n' "$got" >"$here/errors/$name.txt"
  fi
  missing=
  while IFS= read -r line; do
    case $got in
    *"$line"*) ;;
    *) missing="$missing
      missing: $line" ;;
    esac
  done <"$here/errors/$name.txt"
  if [ -n "$got" ] && [ -s "$here/errors/$name.txt" ] && [ -z "$missing" ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf -- '- %s:%s\n      got: %s\n' "$name" "$missing" "$got" >&2
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
