#!/usr/bin/env bash
# test-nat.sh BINARY: the server behind an address translator, a Chromium before
# it, in three network namespaces of their own. Needs root, iproute2, nftables,
# Chromium, Node and the page's node_modules.
#
#     inside                    router                       outside
#   server 10.77.0.2 ── prv 10.77.0.1 │ pub 203.0.113.1 ── 203.0.113.2 Chromium
#
# The router hands the ports of 203.0.113.1 (TEST-NET-3, RFC 5737) on to the
# server. With --rtc-address 203.0.113.1 Chromium joins; without it, it must not,
# and the server's first words name the flag.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$(realpath "${1:?usage: test-nat.sh BINARY}")
public=203.0.113.1
http=8080 rtc=7882
tag=mxd$$
inside=${tag}i router=${tag}r outside=${tag}o
work=$(mktemp -d)
server=''

cleanup() {
  if [ -n "$server" ]; then
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  for ns in "$inside" "$router" "$outside"; do ip netns del "$ns" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

fail() {
  echo "nat: FAIL: $*" >&2
  sed 's/^/server: /' "$work/server.log" >&2 2>/dev/null || true
  exit 1
}

for ns in "$inside" "$router" "$outside"; do
  ip netns add "$ns"
  ip -n "$ns" link set lo up
done
ip link add prv netns "$router" type veth peer name eth0 netns "$inside"
ip link add pub netns "$router" type veth peer name eth0 netns "$outside"
ip -n "$router" addr add 10.77.0.1/24 dev prv
ip -n "$router" addr add $public/24 dev pub
ip -n "$inside" addr add 10.77.0.2/24 dev eth0
ip -n "$outside" addr add 203.0.113.2/24 dev eth0
ip -n "$router" link set prv up
ip -n "$router" link set pub up
ip -n "$inside" link set eth0 up
ip -n "$outside" link set eth0 up
ip -n "$inside" route add default via 10.77.0.1
ip -n "$outside" route add default via $public
ip netns exec "$router" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'

# Only what was translated may pass inwards: outside cannot reach 10.77.0.2 as such.
ip netns exec "$router" nft -f - <<NFT
table ip mixdown {
  chain prerouting {
    type nat hook prerouting priority dstnat
    iifname "pub" tcp dport { $http, $rtc } dnat to 10.77.0.2
    iifname "pub" udp dport $rtc dnat to 10.77.0.2
  }
  chain postrouting {
    type nat hook postrouting priority srcnat
    oifname "pub" masquerade
  }
  chain forward {
    type filter hook forward priority filter; policy drop
    ct state established,related accept
    iifname "prv" accept
    ct status dnat accept
  }
}
NFT
# The client's own firewall, so that the server's checks towards it do not help
# out: the way must be found from the server's candidates.
ip netns exec "$outside" nft -f - <<NFT
table ip mixdown {
  chain input {
    type filter hook input priority filter; policy drop
    iifname "lo" accept
    ct state established,related accept
  }
}
NFT

export MIXDOWN_API_KEY=nat MIXDOWN_API_SECRET=0123456789abcdef0123456789abcdef0123456789
token=$("$binary" token --room nat --identity chromium --name Chromium --role participant)
operator=$("$binary" token --room '*' --identity operator --name Operator --role host)

# serve FLAGS... starts the server inside and makes the room.
serve() {
  ip netns exec "$inside" "$binary" serve --http-addr ":$http" --tls off --rtc-port "$rtc" --data-dir "$work" "$@" \
    >"$work/server.log" 2>&1 </dev/null &
  server=$!
  for _ in $(seq 100); do
    ip netns exec "$inside" curl -fs -o /dev/null "http://127.0.0.1:$http/readyz" && break
    kill -0 "$server" 2>/dev/null || fail "the server ended at its start"
    sleep 0.1
  done
  ip netns exec "$inside" curl -fs -o /dev/null "http://127.0.0.1:$http/readyz" || fail "the server is not ready after 10 s"
  ip netns exec "$inside" curl -s -o /dev/null -H "Authorization: Bearer $operator" -H 'Content-Type: application/json' \
    --data '{"name": "nat"}' "http://127.0.0.1:$http/api/v1/rooms"
}
quit() {
  kill -TERM "$server"
  wait "$server" || fail "the server stopped with status $?"
  server=''
}
join() { ip netns exec "$outside" node scripts/nat-join.mjs "http://$public:$http" nat "$token" "$1"; }

serve
grep -q -e '--rtc-address' "$work/server.log" ||
  fail "started with a private address only, and said nothing of --rtc-address"
said=$(grep -m 1 -e '--rtc-address' "$work/server.log")
status=0
join 6 || status=$?
case $status in
  3) ;;
  0) fail "Chromium joined without --rtc-address: this translator is none" ;;
  *) fail "Chromium or its signalling failed, not the media" ;;
esac
quit
echo "nat: without --rtc-address Chromium does not get in, and the server says: $said"

serve --rtc-address "$public"
join 20 || fail "Chromium did not join with --rtc-address $public"
quit
echo "nat: with --rtc-address $public Chromium joins and sees the room"
