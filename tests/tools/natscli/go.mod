// Pins the nats command line that end-to-end tests drive the cluster with; `./dev test` builds it where Go is present.
module natscli

go 1.25

require github.com/nats-io/natscli v0.3.0
