#!/bin/sh
# hosts.sh (as root): ps-train on two hosts, which are network namespaces of this machine joined by a
# link, gives the bytes of one process, and ends in an error where the link is cut. BUILD is the
# build's folder.
set -eu
build=${BUILD:-$(cd "$(dirname "$0")/.." && pwd)/build}
PATH=$build/bin:$PATH
work=$(mktemp -d)
trap 'ip netns del ps-one; ip netns del ps-two; rm -rf "$work"' EXIT
cd "$work"

ip netns add ps-one
ip netns add ps-two
ip link add wire netns ps-one type veth peer name wire netns ps-two
for host in one two; do
    ip -n ps-$host link set lo up
    ip -n ps-$host link set wire up
done
ip -n ps-one addr add 10.9.0.1/24 dev wire
ip -n ps-two addr add 10.9.0.2/24 dev wire

cat >login <<'END'
#!/bin/sh
# login HOST COMMAND...: what ssh does
case $1 in 10.9.0.1) space=ps-one ;; *) space=ps-two ;; esac
shift
exec ip netns exec $space sh -c "$*"
END
chmod +x login
mkdir -p images
for class in a b c d e f; do
    mkdir images/$class
    for i in 1 2 3 4; do
        { printf 'P6\n40 40\n255\n' && head -c 4800 /dev/urandom; } >images/$class/$i.ppm
    done
done
ps-prepare -q folder images --test-classes 0.5 -o manifest.tsv
ps-pack -q -s train manifest.tsv -o train.mdb

train() {
    echo ps-train -q --device cpu --data train.mdb --backbone resnet18 --input-size 32 --dim 8 \
        --batch-size 8 --ps-mu 1 --seed 1 --eps 1e-4 --micro-batches 2 "$@"
}
# on_both COMMAND...: by an mpirun on the first host that looks every second whether the other is there
on_both() {
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 ip netns exec ps-one timeout 100 \
        mpirun --mca plm_rsh_agent "$work/login" --mca btl tcp,self --host 10.9.0.1:1,10.9.0.2:1 \
        --mca btl_tcp_if_include 10.9.0.0/24 --mca oob_tcp_if_include 10.9.0.0/24 \
        --mca oob_tcp_keepalive_time 3 --mca oob_tcp_keepalive_intvl 1 \
        --mca oob_tcp_keepalive_probes 3 -x PATH -n 2 "$@"
}

# shellcheck disable=SC2046,SC2091 # a command of several words
{
    $(train --epochs 3 -o alone)
    on_both $(train --epochs 3 -o both)
    cmp alone/last.safetensors both/last.safetensors
    cmp alone/log.jsonl both/log.jsonl
    echo "two hosts: the bytes of one process, $(ip -n ps-one -s link show wire |
        awk '/TX:/ { getline; print $1 }') bytes sent"

    on_both $(train --epochs 1000 -o cut) 2>messages &
    until grep -q '"epoch":2' cut/log.jsonl 2>/dev/null; do sleep 0.2; done
}
ip -n ps-one link set wire down
began=$(date +%s)
if wait $!; then
    echo "the link was cut, and the run did not end in an error" >&2
    exit 1
fi
grep -q 'lost communication' messages
echo "link cut: an error after $(($(date +%s) - began)) s"
