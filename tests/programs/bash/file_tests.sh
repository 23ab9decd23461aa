folder=$(mktemp -d); cd "$folder"
touch old new; touch -d '2020-01-01' old
[[ new -nt old ]] && echo newer
ln -s new link; [[ -L link && link -ef new ]] && echo "same file"
mkfifo pipe; [[ -p pipe ]] && echo fifo
chmod 750 new; stat -c '%a %F' new
: > size; truncate -s 1M size; stat -c %s size; du -b size | cut -f1
cd /; rm -r "$folder"

# expect:
# newer
# same file
# fifo
# 750 regular empty file
# 1048576
# 1048576
