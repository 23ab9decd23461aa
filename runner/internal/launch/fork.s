// Go code that declares functions without a body needs an assembly file in
// its package, even an empty one. See fork.go.
