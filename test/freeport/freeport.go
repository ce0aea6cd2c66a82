// Package freeport finds ports for programs that a test starts, and that can't be told to take any.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Find is a port that nothing listens on, on any address. It is below those that systems hand out to connections and to listeners
// on port 0 (from 32768 on, Linux; from 49152 on, macOS), so that none of these takes it before the program does.
func Find(t testing.TB) int {
	t.Helper()
	var err error
	for range 100 {
		port := 20000 + rand.IntN(12000)
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf(":%d", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal(err)
	return 0
}
