module soulbox.dev/hack/pause

go 1.24
