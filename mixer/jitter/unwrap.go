package jitter

// unwrap lays 16-bit sequence numbers on one line: the number nearest to last.
func unwrap(last int64, seq uint16) int64 {
	return last + int64(int16(seq-uint16(last)))
}

// unwrap32 does so with timestamps.
func unwrap32(last int64, ts uint32) int64 {
	return last + int64(int32(ts-uint32(last)))
}

// restart notices a sender that begins a new line of sequence numbers: one
// number far away is a stray, two in a row are a restart (RFC 3550, appendix
// A.1).
type restart struct {
	far  bool
	next uint16
}

func (r *restart) saw(seq uint16) bool {
	again := r.far && seq == r.next
	r.far, r.next = !again, seq+1
	return again
}
