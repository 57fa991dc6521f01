#!/usr/bin/env bash
# Makes Node 24 and the npm packages available, then becomes the operator's command: bootstrap.sh <command> [arguments].
# Progress goes to standard error; standard output belongs to the command.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/berth

say() { printf '%s\n' "$*" >&2; }
fail() { say "berth: $*"; exit 1; }

is_node_24() { [ -x "$1" ] && "$1" -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 24 ? 0 : 1)' 2>/dev/null; }
hash_of() { if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -c1-16; }

# Installs exactly what a lock file names (npm checks each package's integrity), three times at most: networks hiccup.
# The machine's npm runs under the machine's own Node, whatever its version: its certificates and proxy settings hang on that.
machine_path=$PATH
npm_ci() {
  command -v npm >/dev/null || fail "npm is missing: install Node.js 24 with npm, or Debian's package \"npm\""
  local log=$cache/npm.log try limit=()
  ! command -v timeout >/dev/null || limit=(timeout 900)
  for try in 1 2 3; do
    (cd "$1" && PATH=$machine_path "${limit[@]}" npm ci --ignore-scripts --engine-strict=false --fetch-retries=1 \
      --no-audit --no-fund --loglevel=error) >"$log" 2>&1 </dev/null && return 0
    grep -qE 'EINTEGRITY|EUSAGE|EBADPLATFORM|CERT' "$log" && break
    [ "$try" = 3 ] || sleep "$try"
  done
  head -n 20 "$log" >&2 # what follows is npm's usage
  fail "npm could not install the packages of $1 (above: why); check the network and run this again"
}

# One installation at a time, also over several clones that share the cache.
locked() {
  mkdir -p "$cache"
  if command -v flock >/dev/null; then
    exec 9>"$cache/bootstrap.lock"
    flock -w 600 9 || fail "another installation has held $cache/bootstrap.lock for 10 minutes"
  fi
}
unlocked() { exec 9>&-; }

fetch_node() {
  local started=$SECONDS folder=$1
  [ "$(uname -s)" = Linux ] || fail "Node.js 24 is missing: install it (on macOS: brew install node@24) and run this again"
  locked
  if ! is_node_24 "$folder/node_modules/.bin/node"; then
    mkdir -p "$folder"
    cp "$root/toolchain/node/package.json" "$root/toolchain/node/package-lock.json" "$folder/"
    npm_ci "$folder"
    is_node_24 "$folder/node_modules/.bin/node" || fail "there is no Node.js 24 for $(uname -sm) in the package registry: install it and run this again"
    # Under another Node npm would look for the machine-wide settings elsewhere.
    npm config get globalconfig >"$folder/globalconfig" 2>/dev/null || true
    say "node 24: fetched the pinned npm package ($((SECONDS - started)) s)"
  fi
  unlocked
}

if is_node_24 "$(command -v node || true)"; then
  [ -n "${BERTH_QUIET:-}" ] || say "node 24: using the one on PATH"
else
  folder=$cache/node/$(hash_of "$root/toolchain/node/package-lock.json")
  if is_node_24 "$folder/node_modules/.bin/node"; then
    [ -n "${BERTH_QUIET:-}" ] || say "node 24: using the one in the cache"
  else
    fetch_node "$folder"
  fi
  export PATH="$folder/node_modules/.bin:$PATH"
  if [ -s "$folder/globalconfig" ]; then
    npm_config_globalconfig=${npm_config_globalconfig:-$(cat "$folder/globalconfig")}
    export npm_config_globalconfig
  fi
fi

stamp=$root/node_modules/.berth-lock
wanted=$(hash_of "$root/package-lock.json")
if [ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ]; then
  started=$SECONDS
  locked
  npm_ci "$root"
  printf '%s' "$wanted" >"$stamp"
  unlocked
  say "npm packages: installed ($((SECONDS - started)) s)"
fi

exec node "$root/cli/berth.ts" "$@"
