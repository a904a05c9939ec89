#!/bin/sh
# From a video to depth images, unattended: without a terminal, started again whenever it dies, until it is done.
#
#   runners/run_vda_standalone.sh VIDEO [OPTIONS OF 'vda depth']
#
# It may be started again and again, from cron or rc.local: where the work already goes on it ends at once, in
# silence, with exit code 0; and it only ever continues. It needs nothing but the installed package.
#   @reboot      /path/to/runners/run_vda_standalone.sh /path/to/film.mp4
#   */5 * * * *  /path/to/runners/run_vda_standalone.sh /path/to/film.mp4
set -eu

usage() {
    sed -n '4s/^#   /usage: /p' "$0" >&2
    exit 2
}

[ $# -ge 1 ] || usage
case $1 in -*) usage ;; esac
# A pattern such as shot.%04d.png is no file itself.
case $(basename "$1") in
    *[%#*?]*) there=$(dirname "$1") ;;
    *) there=$1 ;;
esac
if [ ! -e "$there" ]; then
    echo "$1 is not there. Check the path." >&2
    exit 2
fi

here=$(cd "$(dirname "$0")/.." && pwd)
video=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
shift

# Cron's path is short: the project's own environment first.
if [ -n "${VDA:-}" ]; then
    vda=$VDA
elif [ -x "$here/.venv/bin/vda" ]; then
    vda=$here/.venv/bin/vda
elif ! vda=$(command -v vda); then
    echo "There is no program 'vda'. Install it with 'make setup', or name it: VDA=/path/to/vda." >&2
    exit 2
fi

# The scene's place must not depend on where cron happens to start.
case " $* " in
    *" --scene "* | *" --scene="*) ;;
    *)
        name=$(basename "$video")
        case $name in
            *[%#*?]*)
                name=${name%%[%#*?]*}
                name=${name%[._-]}
                [ -n "$name" ] || name=$(basename "$(dirname "$video")")
                ;;
            *) [ -d "$video" ] || name=${name%.*} ;;
        esac
        set -- --scene "$here/data/$name" "$@"
        ;;
esac
exec "$vda" depth "$video" "$@" --detach --if-idle
