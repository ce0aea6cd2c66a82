package tail

import "sync/atomic"

// Stats counts what a [Run] has done. It may be read at any time.
type Stats struct {
	Lines       atomic.Int64 // lines of the files written to stdout
	Bytes       atomic.Int64 // bytes of the files written to stdout, without envelopes
	Truncations atomic.Int64 // times that a file was found truncated or written anew
	Deleted     atomic.Int64 // rotated files deleted
	Open        atomic.Int64 // files that are open
	Lag         atomic.Int64 // bytes in the files that stdout hasn't got yet
}
