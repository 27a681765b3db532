# Shared by ./x and the scripts: sourced, POSIX sh.
# shellcheck shell=sh

export HOME="${HOME:-/root}"

# A header for the next piece of work.
say() {
    printf '\n==> %s\n' "$*" >&2
}

# Ends the program: what is wrong, and how to mend it.
die() { # MESSAGE HINT
    printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 69
}

# Whether "cargo 1.95.0 (…)" is at least version 1.90.
at_least() { # TEXT MAJOR.MINOR
    found=$(printf '%s\n' "$1" | sed -n 's/^[^0-9]*\([0-9]*\.[0-9]*\).*/\1/p')
    [ -n "$found" ] && [ "$(printf '%s\n%s\n' "$2" "$found" | sort -V | head -n 1)" = "$2" ]
}

# Where cargo puts what it builds.
target_dir() {
    printf '%s\n' "${CARGO_TARGET_DIR:-$PWD/target}"
}

# A directory for this run's files, removed by remove_work_dir, which the caller traps.
make_work_dir() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/fh-x.XXXXXX")
}

remove_work_dir() {
    # A Nix store in it is read-only.
    chmod -R u+w "$work" 2>/dev/null || true
    rm -rf -- "$work"
}

# Sends Nix to a store below DIR, so that nothing is written to the machine's own.
private_nix() { # DIR
    NIX_STORE_DIR="$1/nix/store" NIX_STATE_DIR="$1/nix/var/nix"
    NIX_LOG_DIR="$1/nix/var/log/nix" NIX_CONF_DIR="$1/nix/etc"
    NIX_CONFIG='build-users-group =
substituters =
sandbox = false'
    export NIX_STORE_DIR NIX_STATE_DIR NIX_LOG_DIR NIX_CONF_DIR NIX_CONFIG
}
