package mixer

// SetVirtual makes sound clocks run without a pause, for tests in virtual time.
func (s *Server) SetVirtual() { s.virtual = true }

// SetProgrammes changes Config.Programmes before the next Subscribe.
func (s *Server) SetProgrammes(n int) { s.cfg.Programmes = n }
