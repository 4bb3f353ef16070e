#!/bin/bash
# For ~/.zen/workspace/NIP-101/, in place of the script of this name there: the station's
# own scripts call it as they always did (`--days 1`, `--days 1 --verbose`), and
# constellation-sync does the work. It is exec'ed, so that its exit code, its output and
# signals to it are those of the program itself.
#
# The program is the one that the variable CONSTELLATION_SYNC names, else the one on PATH
# or where cargo and installers put programs.

set -u

# cron and systemd may give neither; ~ then comes from the system's list of users.
if [ -z "${HOME:-}" ]; then
    unset HOME
    HOME=~
fi
PATH="${PATH:-/usr/bin:/bin}:$HOME/.cargo/bin:/usr/local/bin:$HOME/.local/bin:/snap/bin"
export HOME PATH

# The station's own scripts call it each hour: whatever is missing is fetched, however old it is.
# The settings file may say otherwise, and so may CONSTELLATION_SWEEP.
export CONSTELLATION_USUAL_SWEEP=true

# With CAPTAINEMAIL set, the report beside this script is sent once a run has ended. An empty
# CONSTELLATION_SYNC_REPORT, or sync-report = "" in the settings file, turns that off.
CONSTELLATION_USUAL_SYNC_REPORT="$(dirname -- "$0")/sync_report.sh"
export CONSTELLATION_USUAL_SYNC_REPORT

program="${CONSTELLATION_SYNC:-constellation-sync}"
if command -v -- "$program" > /dev/null; then
    exec "$program" "$@"
fi

# The caller throws our output away; the captain is mailed this log. Once is enough.
words="$program is not there; install it in ~/.cargo/bin, ~/.local/bin or /usr/local/bin, or set CONSTELLATION_SYNC"
log="${CONSTELLATION_ZEN:-$HOME/.zen}/strfry/constellation-backfill.error.log"
if [ -d "${log%/*}" ] && ! tail -n 1 "$log" 2> /dev/null | grep -qF -- "$words"; then
    printf '[%s] [ERROR] %s\n' "$(date '+%Y-%m-%d %H:%M:%S')" "$words" >> "$log"
fi
printf '%s: %s\n' "${0##*/}" "$words" >&2
exit 127

# What follows is never run here: setup.sh cuts it out, by the line below and the first } that stands
# alone, and evaluates it. It prints the relays of the other stations, each in a line.

# Function to discover constellation peers from IPNS swarm
discover_constellation_peers() {
    local path="${PATH:-/usr/bin:/bin}:$HOME/.cargo/bin:/usr/local/bin:$HOME/.local/bin:/snap/bin"
    local peer
    PATH="$path" "${CONSTELLATION_SYNC:-constellation-sync}" --show-peers | while IFS= read -r peer; do
        case "$peer" in
            /x/strfry-*)
                peer="${peer#/x/strfry-}"
                printf 'localhost:%s:%s\n' "$peer" "$HOME/.zen/tmp/swarm/$peer/x_strfry.sh"
                ;;
            *) printf 'routable:%s\n' "$peer" ;;
        esac
    done
}
