#!/bin/sh
# A drill: the ledger is backed up while banks file, lost, and restored; then the banks repeat everything. Once with
# SQLite and once with Postgres, with the real programs on loopback. `make drill` runs it, docs/running.md shows what it
# prints. The third time shows what it costs where the registry does not promise one case per key. Needs sqlite3, curl, and Postgres' programs.
set -eu
programs=${1:-target/debug}
root=$(cd "$(dirname "$0")/.." && pwd)
programs=$(cd "$programs" && pwd)
samples=$root/contracts/banks/fudeng/cases/samples
PATH=$PATH:$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
folder=$(mktemp -d)
chmod 755 "$folder"
cd "$folder"
registry='' gateway='' database=''

end() {
    status=$?
    for process in $gateway $registry; do kill "$process" 2>/dev/null || true; done
    [ -z "$database" ] || as_postgres pg_ctl --pgdata "$folder/postgres" --mode immediate stop >/dev/null 2>&1 || true
    if [ $status -ne 0 ]; then
        cat "$folder"/*.log
        echo "0 passed, 1 failed"
    fi
    rm -rf "$folder"
}
trap end EXIT

# Postgres refuses to be run by root.
as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then (cd / && setpriv --reuid postgres --regid postgres --clear-groups -- env PATH="$PATH" "$@"); else "$@"; fi
}

# Waits until a log says something, and prints the part asked for; ten seconds at most.
heard() {
    for _ in $(seq 100); do
        found=$(sed -n "$2" "$1" | head -n 1)
        if [ -n "$found" ]; then echo "$found" && return; fi
        sleep 0.1
    done
    echo "$1 never said $2" >&2 && return 1
}

start_registry() {
    # shellcheck disable=SC2086 # an option, or nothing
    "$programs/conformance" reference-registry --pki pki --listen 127.0.0.1:0 --control 127.0.0.1:0 ${1-} >registry.log 2>&1 &
    registry=$!
    registry_at=$(heard registry.log 's/.*listens=\([^ ]*\).*/\1/p')
    control=$(heard registry.log 's/.*control=\([^ ]*\).*/\1/p')
}

start_gateway() {
    : >gateway.log
    "$programs/directlink" serve --settings directlink.toml 2>gateway.log &
    gateway=$!
    gateway_at=$(heard gateway.log 's/.*"https":"127.0.0.1:\([0-9]*\)".*/\1/p')
}

stop() { kill "$1" && wait "$1" || true; }

# Sends a sample of the bank's, and prints the answer.
bank_sends() {
    curl --silent --show-error --noproxy '*' --cacert pki/registry-ca.pem --cert pki/banks/fudeng.pem --key pki/banks/fudeng.key \
        --connect-to "gateway.example:$gateway_at:127.0.0.1:$gateway_at" --insecure --header 'content-type: application/json' \
        --data-binary "@$samples/$1.request.json" "https://gateway.example:$gateway_at/gateway/bdc/v1"
}

registrations() {
    curl --silent --noproxy '*' "http://$control/counts" | sed -n 's/.*"registered":\([0-9]*\).*/\1/p'
}

holds() {
    if [ "$2" = "$3" ]; then echo "  $1: $2"; else echo "  $1: $2, and should be $3" && exit 1; fi
}

settings() {
    cat >directlink.toml <<END
[listen]
https = "127.0.0.1:0"
certificate = "pki/gateway.pem"
key = "pki/gateway.key"
client_ca = "pki/banks-ca.pem"
[admin]
address = "127.0.0.1:0"
[ledger]
$1
[contracts]
folder = "$root/contracts/banks"
[[institution]]
id = "fudeng"
name = "珠湾浮灯银行"
kind = "BANK"
contract = "fudeng"
certificate_issuer = "CN=Directlink Development CA"
certificate_san = "core.fudeng.example"
[[registry]]
name = "province"
address = "https://$registry_at"
server_name = "localhost"
ca = "pki/registry-ca.pem"
certificate = "pki/gateway-client.pem"
key = "pki/gateway-client.key"
idempotent = $2
[[office]]
code = "440703"
name = "示例不动产登记中心"
registry = "province"
division = "440703"
prefixes = ["440703", "440705"]
END
}

sqlite_tables() { sqlite3 ledger.db .tables; }
sqlite_backup() { sqlite3 ledger.db ".backup backup.db"; }
sqlite_lose() { rm -f ledger.db ledger.db-wal ledger.db-shm; }
sqlite_restore() { cp backup.db ledger.db; }

postgres_tables() { as_postgres psql --quiet --host "$folder/postgres" --tuples-only --command '\dt' directlink; }
postgres_backup() { as_postgres pg_dump --host "$folder/postgres" --format custom --file "$folder/postgres/backup" directlink; }
postgres_lose() { as_postgres dropdb --host "$folder/postgres" directlink; }
postgres_restore() {
    as_postgres createdb --host "$folder/postgres" directlink
    as_postgres pg_restore --host "$folder/postgres" --dbname directlink "$folder/postgres/backup"
}

start_postgres() {
    mkdir postgres
    [ "$(id -u)" -ne 0 ] || chown postgres:postgres postgres
    as_postgres initdb --auth trust --no-sync --pgdata "$folder/postgres" >postgres.log
    as_postgres pg_ctl --pgdata "$folder/postgres" --wait --log "$folder/postgres/log" \
        --options "-c listen_addresses= -c unix_socket_directories=$folder/postgres" start >>postgres.log
    database=yes
    as_postgres createdb --host "$folder/postgres" directlink
}

# A store, its line in the settings, and whether the registry promises one case per key.
drill() {
    rm -f ledger.db*
    promise=''
    [ "$3" = true ] || promise=--not-idempotent
    echo "$1, one case per key: $3"
    start_registry "$promise"
    settings "$2" "$3"
    migrated=$("$programs/directlink" ledger migrate --settings directlink.toml)
    echo "  $migrated"
    [ -n "$("$1_tables")" ] || { echo "  but there are none" && exit 1; }
    start_gateway
    first=$(bank_sends first_general)
    holds "registrations after a filing" "$(registrations)" 1
    "$1_backup"
    echo "  backed up while the gateway serves"
    late=$(bank_sends first_maximum)
    holds "registrations after another filing, which the backup has not" "$(registrations)" 2
    stop "$gateway"
    "$1_lose"
    "$1_restore"
    start_gateway
    echo "  ledger lost and restored, gateway started"
    again=$(bank_sends first_general)
    holds "case told again for what the backup has" "$(case_of "$again")" "$(case_of "$first")"
    again=$(bank_sends first_maximum)
    if [ "$3" = true ]; then
        holds "case told again for what it has not" "$(case_of "$again")" "$(case_of "$late")"
        holds "registrations after everything was repeated" "$(registrations)" 2
    else
        holds "registrations after everything was repeated: one filing twice" "$(registrations)" 3
    fi
    stop "$gateway"
    stop "$registry"
    gateway='' registry=''
}

case_of() { echo "$1" | sed -n 's/.*"受理编号":"\([^"]*\)".*/\1/p'; }

"$programs/conformance" pki pki --bank fudeng --registry-name registry.example >/dev/null
drill sqlite 'sqlite = "ledger.db"' true
start_postgres
drill postgres "postgres = \"host=$folder/postgres user=postgres dbname=directlink\"" true
drill sqlite 'sqlite = "ledger.db"' false
echo "3 passed, 0 failed"
