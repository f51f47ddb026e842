#!/bin/sh
# Install Debian packages that the tests and the demo want, where we may; quiet and quick when they are all there.
#
#   packages.sh [--optional] PACKAGE…
#
# With --optional, what cannot be installed is a line of text and no failure. Programs are looked for, not packages,
# so that a machine that has them from elsewhere is served as well. Debian starts a service as it installs it; we
# start our own servers on our own ports, and so forbid it while we install and leave nothing enabled behind.
set -eu

POLICY=/usr/sbin/policy-rc.d
MARK='# made for the length of one installation by packages.sh'

optional=no
if [ "${1:-}" = --optional ]; then
    optional=yes
    shift
fi

present() {
    case $1 in
        mosquitto) PATH="$PATH:/usr/sbin" command -v mosquitto ;;
        influxdb) PATH="$PATH:/usr/sbin" command -v influxd ;;
        postgresql) ls /usr/lib/postgresql/*/bin/initdb || command -v initdb ;;
        python3-venv) /usr/bin/python3 -c 'import ensurepip, venv' ;;
        *) dpkg -s "$1" ;;
    esac >/dev/null 2>&1
}

missing=''
for package in "$@"; do
    present "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

give_up() {
    echo "packages.sh: not installed:$missing ($1)." >&2
    if [ "$optional" = yes ]; then
        echo 'packages.sh: going on without.' >&2
        exit 0
    fi
    echo "packages.sh: as root, run: apt-get install$missing" >&2
    exit 1
}

if [ "$(id -u)" = 0 ]; then
    as_root() { "$@"; }
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root() { sudo -n "$@"; }
else
    give_up 'neither root nor sudo without a password'
fi
command -v apt-get >/dev/null || give_up 'no apt-get on this machine'

# A policy that is already there is the machine's own and stays.
allow_starts() {
    if grep -qsxF "$MARK" "$POLICY"; then as_root rm -f "$POLICY"; fi
}
trap allow_starts EXIT
trap 'exit 130' INT TERM HUP
if [ ! -e "$POLICY" ]; then
    printf '#!/bin/sh\n%s\nexit 101\n' "$MARK" | as_root tee "$POLICY" >/dev/null
    as_root chmod 755 "$POLICY"
fi

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@"
}

echo "packages.sh: installing$missing" >&2
log=$(mktemp)
# A list that cannot be fetched is no reason to stop: the packages may come from another.
# shellcheck disable=SC2086 # one word a package
if ! { apt update || true; apt install --yes --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    rm -f "$log"
    give_up 'apt-get failed'
fi
rm -f "$log"

if command -v systemctl >/dev/null; then
    for package in $missing; do
        case $package in
            mosquitto | influxdb | postgresql) as_root systemctl --quiet disable "$package" >/dev/null 2>&1 || true ;;
        esac
    done
fi
