#!/bin/sh
# Shows the GPUs and the state of a scene with nvidia-smi and the shell alone, for a machine one logs into to look.
#
#   runners/monitor_vda.sh [--once] [--interval SECONDS] [SCENE]
#
# Per GPU: utilisation, memory, temperature, power. Per chunk of SCENE: windows done of all, last line of its log.
# In all: windows and the time left. Every 2 seconds until q or Ctrl-C, or once with --once. It only reads files.
set -u

usage() {
    sed -n '4s/^#   /usage: /p' "$0"
    exit "$1"
}

once=no
interval=2
scene=
while [ $# -gt 0 ]; do
    case $1 in
        --once) once=yes ;;
        --interval)
            [ $# -ge 2 ] || usage 2 >&2
            interval=$2
            shift
            case $interval in '' | *[!0-9.]* | . | *.*.*) usage 2 >&2 ;; esac
            ;;
        -h | --help) usage 0 ;;
        -*) usage 2 >&2 ;;
        *)
            [ -z "$scene" ] || usage 2 >&2
            scene=${1%/}
            ;;
    esac
    shift
done

# Lines without what a terminal would obey: control characters, and those of Latin 1 in UTF-8.
fit() {
    tr -d '\000-\011\013-\037\177' | LC_ALL=C awk '{ gsub(/\302[\200-\237]/, ""); print }'
}

# A name, which may hold anything, in one line.
named() {
    printf '%s' "$1" | tr '\n' ' ' | fit
}

plan=$scene/vda_chunks/chunks_metadata.json
if [ -n "$scene" ] && [ ! -f "$plan" ]; then
    named "$scene is not a scene: it has no plan. Run 'vda split VIDEO --scene DIR' first, or check the path." >&2
    exit 2
fi

columns() {
    width=$(tput cols 2>/dev/null) || width=
    echo "${width:-120}"
}

# A card that fell off the bus can make nvidia-smi hang for ever.
limited() {
    if command -v timeout >/dev/null 2>&1; then timeout 10 "$@"; else "$@"; fi
}

show_gpus() {
    if ! command -v nvidia-smi >/dev/null 2>&1; then
        echo "No nvidia-smi here, so no GPUs to show."
        return
    fi
    limited nvidia-smi --format=csv,noheader,nounits \
        --query-gpu=index,name,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw 2>&1 |
        fit |
        awk -F ' *, *' '
            function shown(value, unit) { return value ~ /^[0-9.]+$/ ? sprintf("%.0f %s", value, unit) : "-" }
            # What is no row of figures is an error, such as a lost card: shown as nvidia-smi words it.
            NF != 7 { if (NF) print; next }
            {
                printf "GPU %-2s  %-32s  %6s  %7s of %-9s  %5s  %6s\n", $1, substr($2, 1, 32), shown($3, "%"),
                    shown($4, ""), shown($5, "MiB"), shown($6, "C"), shown($7, "W")
            }
            END { if (!NR) print "nvidia-smi says nothing." }
        '
}

# One line per chunk: id, sequence, first window, window after the last. The plan is JSON with one key a line.
list_chunks() {
    awk -F '[:,]' '
        /"chunk_id":/ { id = $2 + 0; sequence = start = stop = "" }
        /"sequence":/ { sequence = $2 + 0 }
        /"window_start":/ { start = $2 + 0 }
        /"window_stop":/ { stop = $2 + 0 }
        /}/ && id != "" && stop != "" { print id, sequence, start, stop; id = stop = "" }
    ' "$plan"
}

# One line a finished window: when, sequence, number. Names that begin otherwise are still being written.
list_windows() {
    # From inside: a line end in the name of the scene would take a line apart.
    (CDPATH='' cd -- "$scene/vda_windows" && find . -name 'window_*.npz' -exec stat -c '%Y %n' {} +) 2>/dev/null |
        sed -n 's|^\([0-9]*\) .*/window_\([0-9]*\)_\([0-9]*\)\.npz$|\1 \2 \3|p'
}

# Per chunk: "id done all"; then "total done all seconds-left". The pace is that of the last quarter of an hour.
count_windows() {
    { list_chunks; echo; list_windows; } | awk -v now="$(date +%s)" '
        BEGIN { n = 0 }
        !NF { windows = 1; next }
        !windows { id[n] = $1; sequence[n] = $2; start[n] = $3; stop[n] = $4; n++; next }
        {
            done[$2 + 0, $3 + 0] = 1
            if ($1 > now - 900) { recent++; if (!oldest || $1 < oldest) oldest = $1 }
        }
        END {
            for (i = 0; i < n; i++) {
                count = 0
                for (k = start[i]; k < stop[i]; k++) if ((sequence[i], k) in done) count++
                print id[i], count, stop[i] - start[i]
                all_done += count
                all += stop[i] - start[i]
            }
            left = recent > 1 && now > oldest ? (all - all_done) * (now - oldest) / (recent - 1) : -1
            printf "total %d %d %d\n", all_done, all, left
        }
    '
}

# The last line of a log.
last_line() {
    [ -f "$1" ] && tail -n 1 "$1" | fit
}

spelled() {
    if [ "$1" -lt 0 ]; then
        echo "time left not known yet"
    elif [ "$1" -lt 120 ]; then
        echo "$1 s left"
    elif [ "$1" -lt 7200 ]; then
        echo "$(($1 / 60)) min left"
    else
        echo "$(($1 / 3600)) h $(($1 % 3600 / 60)) min left"
    fi
}

show_scene() {
    echo
    named "$scene"
    count_windows | while read -r id finished all left; do
        if [ "$id" != total ]; then
            log=$(printf '%s/vda_logs/chunk_%02d.log' "$scene" "$id")
            printf 'chunk %02d  %5d of %-5d windows  %s\n' "$id" "$finished" "$all" "$(last_line "$log")"
        elif [ "$finished" -ge "$all" ]; then
            printf 'in all    %5d of %-5d windows  complete\n' "$finished" "$all"
        else
            printf 'in all    %5d of %-5d windows  %s\n' "$finished" "$all" "$(spelled "$left")"
        fi
    done
}

show() {
    date '+%Y-%m-%d %H:%M:%S'
    show_gpus
    [ -z "$scene" ] || show_scene
}

if [ "$once" = yes ]; then
    show
    exit 0
fi

# On a terminal: its second screen, without a cursor, given back however this ends. Elsewhere blocks of lines.
pause=
keyboard=
[ ! -t 0 ] || [ ! -t 1 ] || keyboard=$(stty -g)
leave() {
    [ -z "$pause" ] || kill "$pause" 2>/dev/null
    [ -z "$keyboard" ] || stty "$keyboard"
    [ ! -t 1 ] || printf '\033[?25h\033[?1049l'
    trap - EXIT
    exit "$1"
}
trap 'leave 130' INT
trap 'leave 143' TERM HUP
trap 'leave 0' EXIT
[ ! -t 1 ] || printf '\033[?1049h\033[?25l'
# A key is waited for in tenths of a second, 25 seconds at most.
if [ -n "$keyboard" ]; then
    tenths=$(awk "BEGIN { t = int(10 * $interval); print (t < 1 ? 1 : t > 250 ? 250 : t) }")
    stty -icanon -echo min 0 time "$tenths"
fi
while :; do
    if [ -t 1 ]; then
        picture=$(show | cut -c "1-$(columns)")
        printf '\033[H\033[2J%s\n' "$picture"
    else
        show
        echo
    fi
    if [ -n "$keyboard" ]; then
        key=$(dd bs=1 count=1 2>/dev/null)
        case $key in q | Q) leave 0 ;; esac
    else
        sleep "$interval" &
        pause=$!
        wait "$pause"
    fi
done
