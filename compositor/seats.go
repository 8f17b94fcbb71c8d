package compositor

// Seats keeps people in place while others come and go. The zero value is an
// empty gallery.
type Seats struct {
	at []string
}

// Swap lets two change places, of those that Update returned.
func (s *Seats) Swap(i, j int) { s.at[i], s.at[j] = s.at[j], s.at[i] }

// Update takes who is here now and returns who sits where, place by place. As
// few people move as can be: newcomers go to the end, and who left is replaced
// by a newcomer, or else by one from the end. An ID counts once. The result is
// valid until the next Update.
func (s *Seats) Update(ids []string) []string {
	here := make(map[string]bool, len(ids)) // and whether already seated
	for _, id := range ids {
		here[id] = false
	}
	n := len(here)
	old := s.at
	at := make([]string, n)
	taken := make([]bool, n)
	for i, id := range old {
		if _, ok := here[id]; ok && i < n {
			at[i], taken[i], here[id] = id, true, true
		}
	}
	free := 0
	seat := func(id string) {
		if seated, ok := here[id]; !ok || seated {
			return
		}
		for taken[free] {
			free++
		}
		at[free], taken[free], here[id] = id, true, true
	}
	for _, id := range old[min(n, len(old)):] { // those from beyond the end
		seat(id)
	}
	for _, id := range ids {
		seat(id)
	}
	s.at = at
	return at
}
