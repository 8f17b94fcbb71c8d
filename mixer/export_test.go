package mixer

// SetVirtual makes sound clocks run without a pause, for tests in virtual time.
func (s *Server) SetVirtual() { s.virtual = true }
