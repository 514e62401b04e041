# shellcheck disable=SC2154 # run sets status and stderr
# same RUN RUN: two runs left the same bytes.
same() {
    local file
    for file in last.safetensors best-recall@1.safetensors best-rp.safetensors \
        best-map@r.safetensors checkpoint.safetensors log.jsonl; do
        cmp "$1/$file" "$2/$file"
    done
}

# refused STATUS TEXT COMMAND...: one error line with the text.
refused() {
    local wanted=$1 text=$2
    shift 2
    run --separate-stderr "$@"
    echo "$stderr"
    [ "$status" -eq "$wanted" ]
    [ "$(grep -c 'error:' <<<"$stderr")" -eq 1 ]
    [[ $stderr == *"$text"* ]]
}
