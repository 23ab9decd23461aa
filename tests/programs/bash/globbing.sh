shopt -s nullglob extglob globstar dotglob
folder=$(mktemp -d); cd "$folder"
mkdir -p d/e; touch a.txt b.txt c.md d/x.txt d/e/y.txt .hidden
echo *.txt
echo !(*.txt)
echo **/*.txt
echo *.none end
echo @(a|c).*
cd /; rm -r "$folder"

# expect:
# a.txt b.txt
# .hidden c.md d
# a.txt b.txt d/e/y.txt d/x.txt
# end
# a.txt c.md
