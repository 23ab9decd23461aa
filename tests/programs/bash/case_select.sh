classify() {
    case $1 in
        [0-9]*) echo number ;;
        *.txt | *.md) echo text ;;
        [[:upper:]]*) echo capital ;;&
        *) echo other ;;
    esac
}
for word in 42 notes.md Hello x; do echo "$word: $(classify "$word" | paste -sd ' ')"; done

# expect:
# 42: number
# notes.md: text
# Hello: capital other
# x: other
