#!/bin/bash
# Stands in for the stations' plugin of today: it has the same shape, and accepts of those who are in no
# list only what a filter accepts.

MY_PATH="`dirname \"$0\"`"
MY_PATH="`( cd \"$MY_PATH\" && pwd )`"
source "$MY_PATH/filter/common.sh"
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

classify_user() {
    local pubkey="$1"
    local user_type="nobody"
    local email=$(get_key_email "$pubkey")
    if [[ -n "$email" ]]; then
        if [[ $email =~ ^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}$ || $email == "CAPTAIN" ]]; then
            user_type="player"
        else
            user_type="uplanet"
        fi
    elif check_amis_of_amis "$pubkey"; then
        user_type="uplanet"
    fi
    echo "$user_type"
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

    local user_type=$(classify_user "$pubkey")
    if [[ "$user_type" == "nobody" ]]; then
        if [[ -x $MY_PATH/filter/$kind.sh ]]; then
            $MY_PATH/filter/$kind.sh "$event_json" >> ~/.zen/tmp/strfry.log 2>&1
            local filter_result=$?
            if [[ $filter_result -ne 0 ]]; then
                echo "{\"id\": \"$event_id\", \"action\": \"reject\"}"
                return
            fi
            echo "{\"id\": \"$event_id\", \"action\": \"accept\"}"
            return
        else
            echo "{\"id\": \"$event_id\", \"action\": \"reject\"}"
            return
        fi
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
