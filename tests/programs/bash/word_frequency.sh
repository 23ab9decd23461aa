tr -cs '[:alpha:]' '\n' <<'END' | tr '[:upper:]' '[:lower:]' | sort | uniq -c | sort -k1,1nr -k2,2 | head -n 4 | awk '{print $2": "$1}'
The fox and the dog. The dog sleeps, the fox runs -- and runs.
END

# expect:
# the: 4
# and: 2
# dog: 2
# fox: 2
