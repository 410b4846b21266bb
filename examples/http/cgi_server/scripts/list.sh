#!/bin/sh
# Lists the files of a folder below the server's files, as list.py does. What a client or a file's name says is data:
# it is never expanded a second time.

LC_ALL=C
export LC_ALL
script=${SCRIPT_NAME:-list.sh}

# The bytes that percent signs escape.
unquote() {
    awk 'BEGIN {
        text = ENVIRON["QUERY_STRING"]
        while (match(text, /%[0-9A-Fa-f][0-9A-Fa-f]/)) {
            high = index("0123456789abcdef", tolower(substr(text, RSTART + 1, 1))) - 1
            low = index("0123456789abcdef", tolower(substr(text, RSTART + 2, 1))) - 1
            printf "%s%c", substr(text, 1, RSTART - 1), 16 * high + low
            text = substr(text, RSTART + 3)
        }
        printf "%s", text
    }'
}

quote() {
    printf %s "$1" | od -An -v -tx1 | tr -d '\n' | tr ' ' '%' | sed '
        s/%2d/-/g; s/%2e/./g; s/%2f/\//g; s/%5f/_/g; s/%7e/~/g
        y/abcdef/ABCDEF/' | awk '{
        for (code = 48; code < 123; code++) {
            letter = sprintf("%c", code)
            if (letter ~ /[0-9A-Za-z]/) gsub(sprintf("%%%02X", code), letter)
        }
        print
    }'
}

escape() {
    printf '%s\n' "$1" | sed "s/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s/\"/\&quot;/g; s/'/\&#x27;/g"
}

folder=$(unquote)
root=$(cd -P -- "${DOCUMENT_ROOT:-.}" && pwd -P)
place=$(cd -P -- "$root/$folder" 2>/dev/null && pwd -P)
case $place/ in
"$root"/*) ;;
*) place= ;;
esac

printf 'Content-Type: text/html; charset=utf-8\n\n'
printf '%s\n' '<!DOCTYPE html>' '<html>' '<head>' '<title>file listing</title>' '</head>' '<body>'
[ -z "$place" ] || for file in "$place"/*; do
    [ -e "$file" ] || continue
    text=$(escape "${file##*/}")
    if [ -d "$file" ]; then
        below=${place#"$root"}/${file##*/}
        printf "<p><a href='%s?%s'>%s</a>\n" "$(escape "$script")" "$(quote "${below#/}")" "$text"
    else
        printf '<p>%s\n' "$text"
    fi
done
printf '%s\n' '</body>' '</html>'
