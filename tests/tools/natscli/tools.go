//go:build tools

package natscli

import _ "github.com/nats-io/natscli/nats"
