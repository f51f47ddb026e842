#!/bin/sh
# What the stack needs and nobody should have to make by hand. Everything is made once: run again, it changes nothing.
#
#   setup.sh secrets FOLDER HOST            keys, certificates, passwords, each service's in a folder of its own in FOLDER
#   setup.sh cloud FILE                     tables of the database, buckets of InfluxDB
#   setup.sh simulation FOLDER CONFIG FILE  the gateways in CONFIG: their keys, and what the cloud has to know of them
#   setup.sh gateway FOLDER NAME            what a real gateway needs, as a tar archive on standard output
#   setup.sh revoke FOLDER NAME             its certificate is not admitted any more, once the broker starts again
#   setup.sh register FILE                  a public key, on standard input
#
# FOLDER/vault holds the authority and all that was generated, and only this program sees it. FILE is a configuration of
# the cloud.
set -eu
umask 077

# Make a secret of 48 hexadecimal digits in the vault.
secret() {
    if [ ! -s "$vault/$1" ]; then
        head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$vault/$1.new"
        mv "$vault/$1.new" "$vault/$1"
    fi
}

# Make one of the signing keys.
key() { # FOLDER PURPOSE PARTY NAME
    if [ ! -e "$1/$4.key" ]; then
        wattpost keys make "$1" --purpose "$2" --party "$3" --name "$4"
    fi
}

# Put a copy where its reader finds it, unless the same is there; a running reader never finds half a file.
give() { # SOURCE TARGET MODE
    if ! cmp -s "$1" "$2"; then
        mkdir -p "$(dirname "$2")"
        cp "$1" "$2.new"
        chmod "$3" "$2.new"
        mv -f "$2.new" "$2"
    fi
}

make_secrets() { # FOLDER HOST
    vault=$1/vault
    mkdir -p "$vault"
    wattpost certs authority "$vault"
    wattpost certs server "$vault" --name broker --host "$2" --host broker --host localhost
    wattpost certs client "$vault" --name cloud
    wattpost certs client "$vault" --name health
    for purpose in cloud-ack cloud-command cloud-credit; do
        key "$vault" "$purpose" cloud "$purpose"
    done
    for name in database-password influx-password influx-token grafana-password grafana-secret; do
        secret "$name"
    done
    printf '*:*:wattpost:wattpost:%s\n' "$(cat "$vault/database-password")" >"$vault/pgpass"
    hand_out "$1"
}

# Files of services that run under an account of their own are readable by our group, which compose puts them in.
hand_out() { # FOLDER
    for name in ca.crt ca.crl broker.crt broker.key health.crt health.key; do
        give "$vault/$name" "$1/broker/$name" 0440
    done
    give "$vault/database-password" "$1/database/password" 0440
    give "$vault/influx-password" "$1/influxdb/password" 0440
    give "$vault/influx-token" "$1/influxdb/token" 0440
    give "$vault/grafana-password" "$1/grafana/password" 0440
    give "$vault/grafana-secret" "$1/grafana/secret" 0440
    give "$vault/influx-token" "$1/grafana/influx-token" 0440
    for name in ca.crt cloud.crt cloud.key influx-token pgpass; do
        give "$vault/$name" "$1/cloud/$name" 0400
    done
    for purpose in cloud-ack cloud-command cloud-credit; do
        give "$vault/$purpose.key" "$1/cloud/keys/$purpose.key" 0400
        give "$vault/$purpose.pub" "$1/cloud/keys/$purpose.pub" 0440
    done
}

make_cloud() { # FILE
    wattpost cloud migrate "$1"
    wattpost cloud influx "$1"
}

make_simulation() { # FOLDER CONFIG FILE
    vault=$1/vault
    own=$1/simulation
    [ -d "$own/meters" ] || wattpost sim secrets "$2/village.toml" "$own/meters"
    give "$vault/ca.crt" "$own/ca.crt" 0440
    for purpose in cloud-ack cloud-command cloud-credit; do
        give "$vault/$purpose.pub" "$own/trusted/$purpose.pub" 0440
    done
    for config in "$2"/gw-*.toml; do
        name=$(basename "$config" .toml)
        wattpost certs client "$vault" --name "$name"
        key "$own/keys" gateway "$name" "$name"
        give "$vault/$name.crt" "$own/tls/$name.crt" 0400
        give "$vault/$name.key" "$own/tls/$name.key" 0400
    done
    wattpost cloud register "$3" "$own"/keys/*.pub
    while read -r gateway meters; do
        # shellcheck disable=SC2086 # one word a meter
        wattpost cloud assign "$3" "$gateway" $meters
    done <"$2/meters.txt"
    wattpost cloud place "$3" --from-file "$2/places.csv"
    wattpost cloud open-accounts "$3" "$2/accounts.csv"
}

pack_gateway() { # FOLDER NAME
    case $2 in
        ca | broker | cloud | health)
            echo "$2 is a name of the stack itself: choose another for the gateway" >&2
            exit 64
            ;;
        *) ;;
    esac
    wattpost certs client "$1/vault" --name "$2" >&2
    tar -C "$1/vault" -cf - ca.crt "$2.crt" "$2.key" cloud-ack.pub cloud-command.pub cloud-credit.pub
}

revoke_gateway() { # FOLDER NAME
    vault=$1/vault
    wattpost certs revoke "$vault" --name "$2"
    give "$vault/ca.crl" "$1/broker/ca.crl" 0440
}

register_key() { # FILE
    file=$(mktemp)
    trap 'rm -f "$file"' EXIT
    cat >"$file"
    wattpost cloud register "$1" "$file"
}

misused() {
    sed -n '2,/^set -eu/{/^#/p;}' "$0" >&2
    exit 64
}

task=${1:-}
[ $# -gt 0 ] && shift
case $task:$# in
    secrets:2) make_secrets "$@" ;;
    cloud:1) make_cloud "$@" ;;
    simulation:3) make_simulation "$@" ;;
    gateway:2) pack_gateway "$@" ;;
    revoke:2) revoke_gateway "$@" ;;
    register:1) register_key "$@" ;;
    *) misused ;;
esac
