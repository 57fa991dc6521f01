#!/usr/bin/env bash
# A Docker Engine of a current Debian suite in a root tree of its own, beside whatever the host is.
#
#   engine.sh tree SUITE TREE            make the root tree (debootstrap, then docker.io from the suite; both signature-checked)
#   engine.sh ram                        put /run/berth on RAM where it is not
#   engine.sh start TREE DATA RUN [NETNS]   start dockerd detached; socket RUN/docker.sock, pid RUN/dockerd.pid, log RUN/dockerd.log
#   engine.sh stop RUN                   stop it
#   engine.sh netns NAME INDEX           a network namespace with a way outside, for a second Engine on one machine
#   engine.sh netns-remove NAME INDEX
#
# Root only. On the host it installs debootstrap and iproute2 where they are missing, nothing else.
set -euo pipefail
export PATH=/usr/local/sbin:/usr/sbin:/sbin:$PATH

fail() { printf '%s\n' "$*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "starting an Engine needs root: run this as root, or install Docker yourself (20.10 or later)"

need() { # need COMMAND PACKAGE…
  command -v "$1" >/dev/null && return 0
  shift
  command -v apt-get >/dev/null || fail "$* is missing and this is not Debian or Ubuntu: install Docker yourself (20.10 or later)"
  apt-get install -y --no-install-recommends "$@" </dev/null ||
    { apt-get update </dev/null && apt-get install -y --no-install-recommends "$@" </dev/null; }
}

tree() {
  local suite=$1 tree=$2 part=$2.part
  need debootstrap debootstrap debian-archive-keyring
  # What an interrupted run left: first its mounts, so that no removal can reach the host through them.
  if [ -e "$part" ]; then
    umount -R "$part/proc" "$part/sys" 2>/dev/null || true
    rm -rf --one-file-system "$part"
  fi
  mkdir -p "$(dirname "$tree")"
  debootstrap --variant=minbase --include=ca-certificates,iptables,iproute2 "$suite" "$part"
  cp -L /etc/resolv.conf "$part/etc/resolv.conf"
  printf '#!/bin/sh\nexit 101\n' >"$part/usr/sbin/policy-rc.d" # no daemon starts while packages are installed
  chmod 755 "$part/usr/sbin/policy-rc.d"
  if [ -n "$(chroot "$part" apt-cache search --names-only '^docker-cli$')" ]; then
    set -- docker.io docker-cli
  else
    set -- docker.io # older suites carry the client in the same package
  fi
  DEBIAN_FRONTEND=noninteractive chroot "$part" apt-get install -y --no-install-recommends "$@" </dev/null
  chroot "$part" apt-get clean
  mv "$part" "$tree"
}

ram() {
  mkdir -p -m 0700 /run/berth
  chmod 0700 /run/berth
  case $(stat -f -c %T /run/berth) in tmpfs | ramfs) return 0 ;; esac
  mount -t tmpfs -o mode=0700,noexec,nosuid,nodev,size=64m tmpfs /run/berth
}

start() {
  local tree=$1 data=$2 run=$3 netns=${4:-}
  need ip iproute2
  mkdir -p -m 0711 "$data"
  mkdir -p -m 0755 "$run"
  mkdir -p "$tree/var/lib/docker" "$tree/run/berth" "$tree$run" "$tree/.host"
  rm -f "$run/docker.sock" "$run/dockerd.pid"
  # Who may use the socket: the host's group "docker" where there is one, else a number that no group has. The tree's own
  # group "docker" would be some other group of the host.
  local group
  group=$(getent group docker | cut -d: -f3 || true)
  local inside=()
  [ -z "$netns" ] || inside=(nsenter "--net=/run/netns/$netns") # not "ip netns exec": that hides the cgroups
  # The Engine resolves a bind's source inside its own root: what clients name must be there at the same path.
  setsid "${inside[@]}" unshare --mount bash -euc '
    tree=$1 data=$2 run=$3 group=$4
    mount --make-rprivate /
    mount --bind "$tree" "$tree"
    mount -t proc proc "$tree/proc"
    mount --rbind /sys "$tree/sys"
    mount --rbind /dev "$tree/dev"
    mount --bind "$data" "$tree/var/lib/docker"
    mount --bind /run/berth "$tree/run/berth"
    mount --bind "$run" "$tree$run"
    cp -L /etc/resolv.conf "$tree/etc/resolv.conf"
    # Not chroot: a command run inside a container (health checks are such) would then see the root of the host.
    cd "$tree"
    pivot_root . .host
    umount -l /.host
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
      dockerd -H "unix://$run/docker.sock" --exec-root "$run/exec" --pidfile "$run/dockerd.pid" --group "$group"
  ' berth-engine "$tree" "$data" "$run" "${group:-62375}" </dev/null >"$run/dockerd.log" 2>&1 &
}

stop() {
  local run=$1 pid
  pid=$(cat "$run/dockerd.pid" 2>/dev/null || true)
  # A pid file outlives a crash: only a dockerd is stopped.
  if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null || true)" = dockerd ]; then
    kill -TERM "$pid"
    for _ in $(seq 600); do
      [ -e "/proc/$pid" ] || break
      sleep 0.1
    done
    [ ! -e "/proc/$pid" ] || kill -KILL "$pid"
  fi
  rm -rf "$run"
  # The RAM directory is given back when nothing is in it and no other Engine may hold it.
  if mountpoint -q /run/berth && [ -z "$(ls -A /run/berth)" ] && ! grep -qx dockerd /proc/[0-9]*/comm 2>/dev/null; then
    umount /run/berth 2>/dev/null || true
  fi
}

# Addresses of RFC 5737 (documentation), so that they meet nobody's own.
netns() {
  local name=$1 net=198.51.100 low=$(($2 * 4))
  need ip iproute2
  need iptables iptables
  netns_remove "$@"
  ip netns add "$name"
  ip link add "$name" type veth peer name eth0 netns "$name"
  ip address add "$net.$((low + 1))/30" dev "$name"
  ip link set "$name" up
  ip -n "$name" address add "$net.$((low + 2))/30" dev eth0
  ip -n "$name" link set lo up
  ip -n "$name" link set eth0 up
  ip -n "$name" route add default via "$net.$((low + 1))"
  sysctl -qw net.ipv4.ip_forward=1
  iptables -t nat -I POSTROUTING -s "$net.$low/30" -j MASQUERADE
  iptables -I FORWARD -i "$name" -j ACCEPT
  iptables -I FORWARD -o "$name" -j ACCEPT
}

netns_remove() {
  local name=$1 net=198.51.100 low=$(($2 * 4))
  iptables -t nat -D POSTROUTING -s "$net.$low/30" -j MASQUERADE 2>/dev/null || true
  iptables -D FORWARD -i "$name" -j ACCEPT 2>/dev/null || true
  iptables -D FORWARD -o "$name" -j ACCEPT 2>/dev/null || true
  ip link delete "$name" 2>/dev/null || true
  ip netns delete "$name" 2>/dev/null || true
}

verb=${1:-}
shift || true
case $verb in
  tree | ram | start | stop | netns) "$verb" "$@" ;;
  netns-remove) netns_remove "$@" ;;
  *) fail "usage: engine.sh tree|ram|start|stop|netns|netns-remove …" ;;
esac
