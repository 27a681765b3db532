#!/bin/sh
# The units of a host with one app, run by a real systemd (a user's, in mount and PID namespaces of its own), with a stand-in
# for `freehold` that only writes down how it is called. Docker is not touched.
#
#   nix/tests/coop-cloud-systemd.sh        NIX_INSTANTIATE=… picks another Nix
#
# Needs root, python3 and systemd; where a user's systemd does not come up it is reported as not run.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
systemd=/lib/systemd/systemd

not_run() { # REASON
  echo "coop-cloud under systemd: NOT RUN: $1"
  [ -z "${FREEHOLD_NOT_RUN:-}" ] || echo "coop-cloud under systemd: $1" >>"$FREEHOLD_NOT_RUN"
  exit 0
}

outside() {
  [ "$(id -u)" -eq 0 ] || not_run 'not root'
  [ -x $systemd ] || not_run 'no systemd'
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  unshare --mount --pid --fork --kill-child true 2>/dev/null || not_run 'no namespaces'

  mkdir -p "$work/units" "$work/bin" "$work/store" "$work/codes"
  "${NIX_INSTANTIATE:-nix-instantiate}" --eval --strict --json "$here/coop-cloud-host.nix" -A render \
    --arg configuration "$here/fixtures/coop-cloud-blog.nix" \
    --argstr freehold "$work" --argstr files "$work/store" --argstr programs /usr >"$work/host.json"
  python3 - "$work" <<'END'
import json, sys
work = sys.argv[1]
host = json.load(open(f"{work}/host.json"))
for name, text in host["units"].items():
    open(f"{work}/units/{name}", "w").write(text)
for path, text in host["files"].items():
    open(path, "w").write(text)
END

  printf "[Service]\nType=oneshot\nRemainAfterExit=true\nExecStart=/bin/true\n" >"$work/units/docker.service"
  printf '[Unit]\nDescription=all that a host starts\nWants=swarm-init.service deploy-proxy.service cc-app-ghost.service\n' \
    >"$work/units/multi-user.target"
  # "swarm init", "deploy traefik", "deploy blog", "reconcile blog": two words name the call. codes/WORDS is what it ends with,
  # and while `slow` is there it goes on until it is told to stop.
  cat >"$work/bin/freehold" <<END
#!/bin/sh
call="\$2 \$3"
echo "\$call" >>$work/log
trap 'echo "\$call: terminated" >>$work/log; exit 143' TERM
while [ -e $work/slow ]; do sleep 0.05; done
echo "\$call: done" >>$work/log
exit "\$(cat "$work/codes/\$call" 2>/dev/null || echo 0)"
END
  chmod +x "$work/bin/freehold"
  code=0
  unshare --mount --pid --fork --kill-child --mount-proc sh "$0" inside "$work" || code=$?
  [ $code -ne 77 ] || not_run "$(tail -n 1 "$work/systemd.log")"
  exit $code
}

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
ctl() { systemctl --user --no-pager "$@" 2>/dev/null; }
state() { ctl show --property=ActiveState --value "$1"; }
calls() { tr '\n' ',' <"$work/log"; }
forget() { : >"$work/log"; }
settled() {
  tries=0
  # A systemd that is too busy to answer has not said that nothing is left.
  until jobs=$(ctl list-jobs --no-legend --plain) && [ -z "$(echo "$jobs" | grep -v 'No jobs' || true)" ]; do
    tries=$((tries + 1))
    [ $tries -lt 3000 ] || return 1
    sleep 0.1
  done
}
awaited() { # LINE in the log
  tries=0
  until grep -qxF "$1" "$work/log"; do
    tries=$((tries + 1))
    [ $tries -lt 6000 ] || return 1
    sleep 0.05
  done
}
in_order='swarm init,swarm init: done,deploy traefik,deploy traefik: done,deploy blog,deploy blog: done,'

inside() {
  mount -t tmpfs tmpfs /run
  mkdir -p /run/systemd/system /run/user/0
  export XDG_RUNTIME_DIR=/run/user/0 XDG_CONFIG_HOME="$work/config"
  SYSTEMD_UNIT_PATH="$work/units:/usr/lib/systemd/user" SYSTEMD_LOG_TARGET=console setsid $systemd --user \
    >"$work/systemd.log" 2>&1 </dev/null &
  tries=0
  until [ -S /run/user/0/systemd/private ] && ctl list-units >/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || exit 77
    sleep 0.1
  done

  forget
  ctl start multi-user.target
  check 'at boot they run in order' "$in_order" "$(calls)"
  check 'and stay' 'active active active' "$(state swarm-init) $(state deploy-proxy) $(state cc-app-ghost)"

  # What is active is restarted by way of `swarm-init`: the others have `restartIfChanged = false`.
  forget
  ctl restart swarm-init.service
  settled
  check 'an activation runs them again, in order, each once' "$in_order" "$(calls)"

  # By hand, in an order that is none: what began too early is stopped, and runs again in its turn.
  forget
  touch "$work/slow"
  ctl restart --no-block cc-app-ghost.service
  awaited 'deploy blog'
  ctl restart --no-block swarm-init.service
  awaited 'swarm init'
  rm "$work/slow"
  settled
  check 'so do restarts by hand' "$in_order" "$(sed -n '/^swarm init$/,$p' "$work/log" | tr '\n' ',')"

  forget
  ctl stop cc-app-ghost.service deploy-proxy.service
  ctl start cc-app-ghost.service
  check 'an app starts the proxy first' 'deploy traefik,deploy traefik: done,deploy blog,deploy blog: done,' "$(calls)"

  forget
  echo 1 >"$work/codes/deploy traefik"
  ctl restart deploy-proxy.service || true
  check 'a proxy without its certificate is a failed unit' failed "$(state deploy-proxy)"
  ctl restart cc-app-ghost.service
  check 'which apps do not go down with' active "$(state cc-app-ghost)"
  rm "$work/codes/deploy traefik"
  ctl restart deploy-proxy.service
  check 'and which is well again once it is mended' active "$(state deploy-proxy)"

  echo 3 >"$work/codes/deploy blog"
  ctl restart cc-app-ghost.service || true
  check 'an app that is not healthy is a failed unit' failed "$(state cc-app-ghost)"
  echo 4 >"$work/codes/deploy blog"
  ctl restart cc-app-ghost.service
  check 'one whose update is held is content' active "$(state cc-app-ghost)"
  rm "$work/codes/deploy blog"

  forget
  ctl start cc-app-ghost-reconcile.service
  check 'an update runs and is gone' 'reconcile blog,reconcile blog: done, inactive' "$(calls) $(state cc-app-ghost-reconcile)"
  forget
  touch "$work/slow"
  ctl start --no-block cc-app-ghost-reconcile.service
  awaited 'reconcile blog'
  ctl restart --no-block swarm-init.service
  awaited 'swarm init'
  rm "$work/slow"
  settled
  check 'an update that is under way is not broken off by an activation' 0 "$(grep -c 'reconcile blog: terminated' "$work/log")"
  check 'the timer waits for the night' active "$(ctl start cc-app-ghost-reconcile.timer && state cc-app-ghost-reconcile.timer)"

  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}

if [ "${1:-}" = inside ]; then
  work=$2
  inside
else
  outside
fi
