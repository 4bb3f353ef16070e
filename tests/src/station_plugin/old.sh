#!/bin/bash
# Stands in for the stations' plugin of old: it has the same shape, and accepts everyone who is not on
# the blacklist, if there is no filter that rejects the event.

MY_PATH="`dirname \"$0\"`"
MY_PATH="`( cd \"$MY_PATH\" && pwd )`"
LOG_FILE="$HOME/.zen/tmp/strfry.log"
BLACKLIST_FILE="$HOME/.zen/strfry/blacklist.txt"

log_message() {
    echo "$1" >> "$LOG_FILE"
}

is_key_blacklisted() {
    local pubkey="$1"
    local BLACKLIST=($(cat "$BLACKLIST_FILE"))
    for blacklisted_key in "${BLACKLIST[@]}"; do
        if [[ "$pubkey" == "$blacklisted_key" ]]; then
            return 0
        fi
    done
    return 1
}

process_new_event() {
    local event_json="$1"
    local event_id=$(echo "$event_json" | jq -r '.event.id')
    local pubkey=$(echo "$event_json" | jq -r '.event.pubkey')
    local kind=$(echo "$event_json" | jq -r '.event.kind')

    if is_key_blacklisted "$pubkey"; then
        log_message "blacklisted: $pubkey"
        echo "{\"id\": \"$event_id\", \"action\": \"reject\"}"
        return
    fi

    if [[ -x $MY_PATH/filter/$kind.sh ]]; then
        $MY_PATH/filter/$kind.sh "$event_json" >> ~/.zen/tmp/strfry.log
        local filter_result=$?
        if [[ $filter_result -ne 0 ]]; then
            echo "{\"id\": \"$event_id\", \"action\": \"reject\"}"
            return
        fi
    fi

    echo "{\"id\": \"$event_id\", \"action\": \"accept\"}"
}

while IFS= read -r line; do
    if [[ -z "$line" ]]; then
        continue
    fi
    if echo "$line" | jq -e '.' > /dev/null 2>&1; then
        event_type=$(echo "$line" | jq -r '.type')
        event_id=$(echo "$line" | jq -r '.event.id')
        if [[ "$event_type" == "new" ]]; then
            process_new_event "$line"
        else
            echo "{\"id\": \"$event_id\", \"action\": \"accept\"}"
        fi
    else
        echo "{\"action\": \"reject\"}"
    fi
done < /dev/stdin
