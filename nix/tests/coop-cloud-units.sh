#!/bin/sh
# The units of the example host, as files: systemd reads them without a complaint, and the activation script asks for the
# right ones. The script of the sweep is run, with a stand-in for `freehold`. Nothing else is started.
#
#   nix/tests/coop-cloud-units.sh        NIX_INSTANTIATE=… picks another Nix
#
# Needs python3, and `systemd-analyze` (else that part is reported as not run).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
nix=${NIX_INSTANTIATE:-nix-instantiate}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

passed=0
failed=0
check() { # NAME EXPECTED GOT
  if [ "$2" = "$3" ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf -- '- %s:\n    expected %s\n    got      %s\n' "$1" "$2" "$3"
  fi
}

mkdir -p "$work/units" "$work/bin" "$work/store" "$work/codes"
# Programs have to exist for systemd to be content.
for program in freehold sleep; do
  printf '#!/bin/sh\n' >"$work/bin/$program"
  chmod +x "$work/bin/$program"
done
rendered() { # CONFIGURATION; → its units and files as JSON
  "$nix" --eval --strict --json "$here/coop-cloud-host.nix" -A render --arg configuration "$1" \
    --argstr freehold "$work" --argstr files "$work/store" --argstr programs /usr
}
rendered "$here/../../examples/coop-cloud/apps.nix" >"$work/host.json"
python3 - "$work" <<'END'
import json, sys
work = sys.argv[1]
host = json.load(open(f"{work}/host.json"))
for name, text in host["units"].items():
    open(f"{work}/units/{name}", "w").write(text)
for path, text in host["files"].items():
    open(path, "w").write(text)
open(f"{work}/activate", "w").write(host["activation"].replace("/run/nixos", f"{work}/run"))
END

activate() { # NIXOS_ACTION
  rm -rf "$work/run"
  if [ -n "$1" ]; then NIXOS_ACTION=$1 sh -eu "$work/activate"; else (unset NIXOS_ACTION; sh -eu "$work/activate"); fi
  for list in "$work"/run/*; do
    [ -e "$list" ] || continue
    echo "$(basename "$list"): $(tr '\n' ' ' <"$list")"
  done
}
units='swarm-init.service cc-app-cryptpad.service cc-app-ghost.service cc-app-mumble.service deploy-proxy.service '
check 'a switch asks for all units' "activation-restart-list: $units" "$(activate switch)"
check 'so does a test' "activation-restart-list: $units" "$(activate test)"
check 'a dry activation has a list of its own' "dry-activation-restart-list: $units" "$(activate dry-activate)"
check 'a boot asks for nothing' '' "$(activate '')"
for unit in $units; do
  check "$unit is there" yes "$([ -f "$work/units/$unit" ] && echo yes)"
done

# The call is written down, and `codes/DOMAIN` is what it ends with.
cat >"$work/bin/freehold" <<END
#!/bin/sh
echo "\$*" >>"$work/log"
exit "\$(cat "$work/codes/\$3" 2>/dev/null || echo 0)"
END
rendered "$here/fixtures/coop-cloud-sweep.nix" |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["files"][sys.argv[1]])' "$work/store/unit-script-coop-cloud-sweep-start" >"$work/sweep"
sweep() { # DOMAIN=CODE…; → what it ends with
  rm -rf "$work/codes" "$work/log"
  mkdir "$work/codes"
  for end in "$@"; do
    echo "${end#*=}" >"$work/codes/${end%=*}"
  done
  code=0
  sh "$work/sweep" || code=$?
  echo "$code, $(wc -l <"$work/log") apps"
}
check 'a sweep is well when all are' '0, 4 apps' "$(sweep)"
check 'it looks at what is enabled, as it is declared' \
  "$(printf 'app reconcile %s --settings %s\n' site "$work/store/cc-app-custom-html.json" blog "$work/store/cc-app-ghost.json" \
    flow "$work/store/cc-app-n8n.json" traefik "$work/store/deploy-proxy.json")" "$(cat "$work/log")"
check 'one failure stops no other' '1, 4 apps' "$(sweep site=1)"
check 'what waits for a person is graver than what is well' '4, 4 apps' "$(sweep blog=4)"
check 'a failure is graver than what waits' '1, 4 apps' "$(sweep site=4 blog=1 flow=4)"
check 'what is unwell is gravest, before' '3, 4 apps' "$(sweep site=3 blog=1 flow=4)"
check 'and after' '3, 4 apps' "$(sweep site=4 blog=1 flow=3)"
check 'whoever stops it stops it' '130, 2 apps' "$(sweep site=3 blog=130)"

if command -v systemd-analyze >/dev/null; then
  # Docker's own unit, and what systemd may not have installed here.
  printf '[Service]\nExecStart=/bin/true\n' >"$work/units/docker.service"
  complaints=$(SYSTEMD_UNIT_PATH="$work/units:" systemd-analyze verify --man=no --recursive-errors=no "$work"/units/*.service \
    "$work"/units/*.timer "$work"/units/*.path 2>&1 | grep -F "$work/units" || true)
  check 'systemd reads the units' '' "$complaints"
else
  echo 'coop-cloud units: NOT RUN: no systemd-analyze'
  [ -z "${FREEHOLD_NOT_RUN:-}" ] || echo 'coop-cloud units: no systemd-analyze' >>"$FREEHOLD_NOT_RUN"
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
