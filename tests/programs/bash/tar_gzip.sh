folder=$(mktemp -d); cd "$folder"
mkdir src; echo hello > src/a; echo world > src/b; ln -s a src/link
tar czf out.tar.gz src
tar tzf out.tar.gz | sort
mkdir dst; tar xzf out.tar.gz -C dst
cat dst/src/link
seq 1000 | gzip -c | gunzip | tail -n 1
gzip -t out.tar.gz && echo intact
cd /; rm -r "$folder"

# expect:
# src/
# src/a
# src/b
# src/link
# hello
# 1000
# intact
