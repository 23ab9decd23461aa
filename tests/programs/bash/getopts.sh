parse() {
    local OPTIND option verbose=0 name=
    while getopts ':vn:' option; do
        case $option in
            v) ((verbose++)) ;;
            n) name=$OPTARG ;;
            :) echo "-$OPTARG needs a value" ;;
            \?) echo "unknown -$OPTARG" ;;
        esac
    done
    shift $((OPTIND - 1))
    echo "verbose=$verbose name=$name rest=$*"
}
parse -vv -n box file1 file2
parse -x
parse -n

# expect:
# verbose=2 name=box rest=file1 file2
# unknown -x
# verbose=0 name= rest=
# -n needs a value
# verbose=0 name= rest=
