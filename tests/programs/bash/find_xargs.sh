folder=$(mktemp -d); cd "$folder"
mkdir -p a/b "with space"
touch a/1.txt a/b/2.txt "with space/3.txt" a/x.log
find . -name '*.txt' | sort
find . -type f -name '*.txt' -print0 | xargs -0 -n 1 basename | sort
find . -type d -empty; find . -name '*.log' -delete; find . -type f | wc -l
echo 1 2 3 4 | xargs -n 2 echo pair
seq 4 | xargs -P 2 -I{} sh -c 'echo job {}' | sort
cd /; rm -r "$folder"

# expect:
# ./a/1.txt
# ./a/b/2.txt
# ./with space/3.txt
# 1.txt
# 2.txt
# 3.txt
# 3
# pair 1 2
# pair 3 4
# job 1
# job 2
# job 3
# job 4
