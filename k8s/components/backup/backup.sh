#!/bin/sh
# Dumps each database of the Secret, once where several addresses are the same, and reads every dump back.
# A dump that cannot be read is no backup: the job fails, and yesterday's stay.
set -eu
keep_days=${KEEP_DAYS:-14}
folder=${BACKUP_FOLDER:-/backup}
secrets=${SECRETS_FOLDER:-/run/secrets/cairn}
stamp=$(date -u +%Y%m%dT%H%M%SZ)
seen=""
for service in retrieval ingestion gateway; do
    url=$(cat "$secrets/$service-database-url")
    case " $seen " in *" $url "*) continue ;; esac
    seen="$seen $url"
    file="$folder/$stamp-$service.dump"
    # One consistent state. Its arguments are seen in this pod and by root of its node, who can read the Secret as well.
    pg_dump --dbname="$url" --format=custom --compress=6 --file="$file.part"
    pg_restore --file=/dev/null "$file.part"
    sync "$file.part"
    mv "$file.part" "$file"
    echo "$file: $(wc -c <"$file") bytes"
done
find "$folder" -name '*.part' -mmin +1440 -delete
find "$folder" -name '*.dump' -mtime "+$keep_days" -delete
